"""A W&B server on the loopback interface, just large enough for wandb 0.31 to be content with it.

It speaks the three protocols that ``wandb-core`` uses, and keeps what it is sent as plain data to compare with:

- GraphQL at ``/graphql``: one method of :class:`LoopbackWandb` per operation, named ``on_<Operation>``;
- the file stream at ``/files/ENTITY/PROJECT/RUN/file_stream``: history, summary and the exit code;
- uploads by PUT, to the addresses that the GraphQL answers hand out.

Use it as a context manager::

    with LoopbackWandb() as server:
        ...  # run something with WANDB_BASE_URL=server.url and any WANDB_API_KEY of 40 characters
    assert server.runs[run_id].history[0]["epoch"] == 1

Nothing is checked here: the tests look at what arrived. ``hang`` names operations that are never answered.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

ENTITY = "loopback"


@dataclass
class ReceivedRun:
    """What arrived about one run."""

    id: str
    project: str
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    job_type: str | None = None
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def step_metric(self) -> dict[str, str]:
        """Metric or glob -> the metric on its x axis, out of the encoding in ``config["_wandb"]["m"]``."""
        metrics = self.config["_wandb"]["m"]
        name = {"1": "name", "2": "glob", "5": "index of the step metric, from 1"}
        rows = [{name[key]: value for key, value in metric.items() if key in name} for metric in metrics]
        return {
            row.get("glob", row.get("name")): rows[row[name["5"]] - 1]["name"]
            for row in rows
            if name["5"] in row
        }


@dataclass
class ReceivedArtifact:
    """What arrived about one version of an artifact. ``files`` does not hold the manifest."""

    id: str
    name: str
    type: str
    run: str | None
    metadata: dict[str, Any]
    used_by: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    committed: bool = False


class LoopbackWandb(ThreadingHTTPServer):
    """The server. ``runs`` by id and ``artifacts`` by name; ``operations`` in the order of their arrival."""

    def __init__(self, hang: Collection[str] = ()) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.hang = frozenset(hang)
        self.runs: dict[str, ReceivedRun] = {}
        self.artifacts: dict[str, ReceivedArtifact] = {}
        self.operations: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def __enter__(self) -> LoopbackWandb:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that is killed in the middle of a request is part of the tests."""

    # --- GraphQL -----------------------------------------------------------------------------------------

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The answer to one operation."""
        named = re.search(r"\b(?:query|mutation)\s+(\w+)", query)
        operation = named.group(1) if named else "?"
        self.operations.append(operation)
        if operation in self.hang:
            self._closing.wait()
        method = getattr(self, f"on_{operation}", None)
        if method is None:
            return {"data": None, "errors": [{"message": f"the loopback server has no {operation}"}]}
        with self._lock:
            return {"data": method(variables)}

    def on_Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        return {"viewer": {**viewer, "teams": {"edges": []}}}

    def on_ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def on_OrganizationCoreWeaveOrganizationID(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"entity": None}

    def on_RunResumeStatus(self, ask: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(ask["name"])
        if run is None:
            return {"model": None}
        bucket = {
            "id": f"storage-{run.id}",
            "name": run.id,
            "displayName": run.name,
            "summaryMetrics": json.dumps(run.summary),
            "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
            "historyLineCount": len(run.history),
            "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
            "eventsLineCount": 0,
            "eventsTail": "[]",
            "logLineCount": 0,
            "tags": list(run.tags),
            "notes": None,
            "wandbConfig": '{"t": {}}',
        }
        return {"model": {**self._project(run.project), "bucket": bucket}}

    def on_UpsertBucket(self, ask: dict[str, Any]) -> dict[str, Any]:
        inserted = ask["name"] not in self.runs
        run = self.runs.setdefault(ask["name"], ReceivedRun(ask["name"], ask["project"]))
        run.entity = ask["entity"] or run.entity
        run.name = ask["displayName"] or run.name
        run.group = ask["groupName"] or run.group
        run.job_type = ask["jobType"] or run.job_type
        run.tags = tuple(ask["tags"] or run.tags)
        if ask["config"]:
            run.config = {key: item["value"] for key, item in json.loads(ask["config"]).items()}
        bucket = {
            "id": f"storage-{run.id}",
            "name": run.id,
            "displayName": run.name,
            "description": None,
            "config": None,
            "sweepName": None,
            "project": self._project(run.project),
            "historyLineCount": len(run.history),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def on_CreateRunFiles(self, ask: dict[str, Any]) -> dict[str, Any]:
        files = [
            {"name": name, "uploadUrl": f"{self.url}/put/run/{quote(ask['run'])}/{quote(name)}"}
            for name in ask["files"]
        ]
        return {"createRunFiles": {"runID": ask["run"], "uploadHeaders": [], "files": files}}

    def on_ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": None}

    def on_CreateArtifact(self, ask: dict[str, Any]) -> dict[str, Any]:
        ask = ask.get("input", ask)
        artifact = ReceivedArtifact(
            id=f"artifact-{len(self.artifacts)}",
            name=ask["artifactCollectionName"],
            type=ask["artifactTypeName"],
            run=ask.get("runName"),
            metadata=json.loads(ask.get("metadata") or "{}"),
        )
        self.artifacts[artifact.name] = artifact
        sequence = {"latestArtifact": None}
        answer = {"id": artifact.id, "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": answer}}

    def on_CreateArtifactManifest(self, ask: dict[str, Any]) -> dict[str, Any]:
        ask = ask.get("input", ask)
        url = f"{self.url}/put/manifest/{ask['artifactID']}/manifest"
        manifest = {
            "id": f"manifest-{ask['artifactID']}",
            "file": {"id": "file", "uploadUrl": url, "uploadHeaders": []},
        }
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    def on_CreateArtifactFiles(self, ask: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for spec in ask["input"]["artifactFiles"]:
            node = {
                "name": spec["name"],
                "displayName": spec["name"],
                "storagePath": spec["name"],
                "uploadUrl": f"{self.url}/put/artifact/{spec['artifactID']}/{quote(spec['name'])}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": spec["artifactID"]},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def on_CommitArtifact(self, ask: dict[str, Any]) -> dict[str, Any]:
        ask = ask.get("input", ask)
        self._artifact(ask["artifactID"]).committed = True
        return {"commitArtifact": {"artifact": {"id": ask["artifactID"], "digest": ""}}}

    def on_ArtifactByID(self, ask: dict[str, Any]) -> dict[str, Any]:
        artifact = self._artifact(ask["id"])
        project = {**self._project("shop"), "internalId": "p", "entity": {"name": ENTITY}}
        return {
            "artifact": {
                "__typename": "Artifact",
                "id": artifact.id,
                "artifactSequence": {
                    "__typename": "ArtifactSequence",
                    "name": artifact.name,
                    "project": project,
                },
                "versionIndex": 0,
                "artifactType": {"name": artifact.type},
                "description": None,
                "metadata": json.dumps(artifact.metadata),
                "ttlDurationSeconds": -2,
                "ttlIsInherited": True,
                "tags": [],
                "historyStep": None,
                "state": "COMMITTED",
                "size": 1,
                "digest": "",
                "commitHash": None,
                "fileCount": len(artifact.files),
                "createdAt": "2026-01-01T00:00:00",
                "updatedAt": None,
                "aliases": [],
            }
        }

    def on_UseArtifact(self, ask: dict[str, Any]) -> dict[str, Any]:
        ask = ask.get("input", ask)
        self._artifact(ask["artifactID"]).used_by = ask["runName"]
        return {"useArtifact": {"artifact": {"id": ask["artifactID"]}}}

    def _artifact(self, id: str) -> ReceivedArtifact:
        return next(one for one in self.artifacts.values() if one.id == id)

    @staticmethod
    def _project(name: str) -> dict[str, Any]:
        return {"id": f"project-{name}", "name": name, "entity": {"id": "e", "name": ENTITY}}

    # --- the file stream and the uploads -----------------------------------------------------------------

    def stream(self, run_id: str, chunk: dict[str, Any]) -> None:
        """Take a piece of the file stream: lines of files, each from an offset, and the end of the run."""
        with self._lock:
            run = self.runs[run_id]
            for name, part in chunk.get("files", {}).items():
                rows = [json.loads(line) for line in part["content"]]
                if name == "wandb-history.jsonl":
                    run.history[part["offset"] : part["offset"] + len(rows)] = rows
                elif name == "wandb-summary.json":
                    run.summary = rows[-1]
            if chunk.get("complete"):
                run.exit_code = chunk["exitcode"]

    def upload(self, kind: str, owner: str, name: str, content: bytes) -> None:
        """Take a file that was PUT."""
        with self._lock:
            if kind == "run":
                self.runs[owner].files[name] = content
            elif kind == "manifest":
                self._artifact(owner).manifest = json.loads(content)
            else:
                self._artifact(owner).files[name] = content


class _Handler(BaseHTTPRequestHandler):
    server: LoopbackWandb
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self._body())
        stream = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if self.path == "/graphql":
            self._reply(self.server.graphql(body["query"], body.get("variables") or {}))
        elif stream:
            self.server.stream(unquote(stream.group(1)), body)
            self._reply({})
        else:
            self._reply({}, 404)

    def do_PUT(self) -> None:
        _, _, kind, owner, name = self.path.split("/", 4)
        self.server.upload(kind, unquote(owner), unquote(name), self._body())
        self._reply({})

    def do_GET(self) -> None:
        self._reply({}, 404)

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, answer: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
