from pathlib import Path

import pytest
import yaml

from kdzoo.cli.flags import KEYS, layer
from kdzoo.errors import KdzooError
from kdzoo.recipe.layers import Layer, parse_set
from kdzoo.recipe.model import Recipe
from kdzoo.recipe.writing import write
from kdzoo.registry.load import load_registry
from kdzoo.registry.resolve import resolve
from kdzoo.zoo import Zoo


@pytest.fixture(scope="module")
def zoo() -> Zoo:
    return Zoo()


def go(
    zoo: Zoo, *assign: str, method: str | None = "kd", file: Path | None = None, **flags: object
) -> Recipe:
    flags = {"teacher": "test_resnet", "student": "test_efficientnet", **flags}
    layers = [*layer(**flags), Layer("--set", parse_set(assign))]
    return resolve(zoo=zoo, registry=load_registry(zoo), method=method, file=file, layers=layers)


def test_a_method_fills_in_components_with_the_papers_values(zoo):
    recipe = go(zoo)
    assert recipe.knowledge[0].name == "kd"
    assert recipe.knowledge[0].settings["temperature"] == 4.0
    assert recipe.algorithm.settings == {"task_weight": 0.1, "teach_weight": 0.9}
    assert recipe.scheme.name == "offline"


def test_flags_win_over_the_file_and_set_over_flags(zoo, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("method: kd\nepochs: 3\nseed: 5\noptim: {lr: 0.1}\n")
    recipe = go(zoo, "epochs=7", method=None, file=file, epochs=6, lr=0.2)
    assert (recipe.epochs, recipe.seed, recipe.optim.lr, recipe.method) == (7, 5, 0.2, "kd")


def test_another_method_on_the_command_line_replaces_the_files_components(zoo, tmp_path):
    file = tmp_path / "recipe.yaml"
    write(go(zoo, "knowledge.temperature=9"), file)
    recipe = go(zoo, method="rkd", file=file)
    assert recipe.knowledge[0].name == "rkd"
    assert "temperature" not in recipe.knowledge[0].settings


def test_a_written_recipe_resolves_to_itself(zoo, tmp_path):
    recipe = go(zoo, "knowledge.temperature=2.5", "roles.teacher.kwargs={drop_rate: 0.1}", data_dir=tmp_path)
    file = tmp_path / "recipe.yaml"
    write(recipe, file)
    again = resolve(zoo=zoo, registry=load_registry(zoo), file=file)
    assert again == recipe
    assert yaml.safe_load(file.read_text())["data"]["data_dir"] == str(tmp_path.resolve())


def test_naming_another_component_drops_the_settings_of_the_one_before(zoo):
    assert "temperature" not in go(zoo, "knowledge=rkd").knowledge[0].settings
    assert go(zoo, "knowledge={name: kd, temperature: 3}").knowledge[0].settings["temperature"] == 3.0


def test_a_method_without_knowledge_needs_no_teacher(zoo):
    assert set(go(zoo, method="baseline").roles) == {"student"}


def test_an_algorithm_that_reads_the_teacher_keeps_it_where_nothing_is_taught(zoo):
    assert set(go(zoo, "algorithm=timm-task", method="baseline").roles) == {"student", "teacher"}
    assert set(go(zoo, "knowledge=null", method="sandwich").roles) == {"student", "teacher"}
    assert set(go(zoo, "knowledge=null", method="kd").roles) == {"student"}


def test_data_dir_alone_means_an_image_folder(zoo, tmp_path):
    assert go(zoo, data_dir=tmp_path).data.dataset == "folder"
    assert go(zoo, data_dir=tmp_path, dataset="torch/cifar10").data.dataset == "torch/cifar10"


@pytest.mark.parametrize(
    ("assign", "says"),
    [
        ("knowledge.temperature=-1", r"knowledge.temperature \(kd\): .*greater than 0, not -1"),
        ("knowledge.temprature=1", "did you mean temperature"),
        ("knowledge=dkdd", "unknown knowledge 'dkdd'; did you mean"),
        ("scheme=offlin", "unknown scheme 'offlin'; did you mean offline"),
        ("epocs=3", "--set: unknown key 'epocs'; did you mean epochs"),
        ("data.bach_size=3", "did you mean data.batch_size"),
        ("roles.student.modle=x", "did you mean roles.student.model"),
        ("optim.lr=fast", "--set: optim.lr: .*valid number.*not 'fast'"),
        ("optim.sched=cosin", "optim.sched: .*'cosine'"),
        ("observers=[wandbb]", "unknown observer 'wandbb'; did you mean wandb"),
        ("epochs", "expected KEY=VALUE"),
        ("epochs=[", "--set epochs: not YAML"),
        ("epochs={a: 1, a: 2}", "--set epochs: a: the key is there twice"),
        (
            "knowledge.temperature=1e308",
            r"--set: knowledge.temperature: expected a number of at most 3.4e\+38, not 1e",
        ),
        ("knowledge.temperature=.inf", "--set: knowledge.temperature: expected a number of at most"),
        ("optim.decay_epochs=[]", "--set: optim.decay_epochs: .*at least 1 item"),
        ("optim.opt_kwargs.eps=1e39", "--set: optim.opt_kwargs.eps: expected a number"),
        ("data.img_size=100000", "--set: data.img_size: .*less than or equal to 4096"),
        ("data.augment.crop=100000", "--set: data.augment.crop: .*less than or equal to 1024"),
        ("roles=[]", "--set: roles: .*valid dictionary"),
        ("roles.../x=test_vit", "--set: roles"),
        ("knowledge.settings=3", "knowledge: settings: expected keys with values, not 3"),
        ("knowledge={name: [1]}", "--set: knowledge.0?.*name: .*string"),
        ("knowledge=[3]", "--set: knowledge: expected names, or mappings with a name, not 3"),
        ("data.data_dir=~no-such-user/x", "~no-such-user/x"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_the_key(zoo, assign, says):
    with pytest.raises(KdzooError, match=says) as caught:
        go(zoo, assign)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: [", r"recipe.yaml, line \d: not YAML"),
        ("- a", "expected keys with values, found list"),
        ("epochs: 0", "recipe.yaml: epochs: .*greater than 0"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_bad_file_is_named(zoo, tmp_path, content, says):
    file = tmp_path / "recipe.yaml"
    file.write_text(content)
    with pytest.raises(KdzooError, match=says):
        go(zoo, file=file)


def test_a_missing_file_is_named(zoo, tmp_path):
    with pytest.raises(KdzooError, match=r"gone\.yaml: No such file"):
        go(zoo, file=tmp_path / "gone.yaml")


def test_what_is_missing_is_said(zoo):
    with pytest.raises(KdzooError, match="--method"):
        go(zoo, method=None)
    with pytest.raises(KdzooError, match="--student MODEL"):
        go(zoo, student=None)


def test_every_flag_reaches_a_key_of_the_recipe():
    known = Recipe.model_fields
    for flag, key in KEYS.items():
        section, *rest = key.split(".")
        assert section in known, flag
        if section in ("data", "optim"):
            assert rest[0] in known[section].annotation.model_fields, flag


def test_the_folders_of_pairs_hold_wherever_the_recipe_is_run_again(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = go(zoo, "data.paired.thermal=warm", "data.computed.lines=edges", data_dir=tmp_path)
    assert recipe.data.paired == {"thermal": tmp_path.resolve() / "warm"}
    file = tmp_path / "recipe.yaml"
    write(recipe, file)
    assert resolve(zoo=zoo, registry=load_registry(zoo), file=file) == recipe


def test_numbers_are_read_as_people_write_them_everywhere(zoo, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("method: kd\noptim: {lr: 1e-1, opt_kwargs: {eps: 1e-8}}\n")
    recipe = go(zoo, "roles.student.kwargs.drop_rate=1E-1", "optim.min_lr=.5e-3", method=None, file=file)
    assert recipe.optim.lr == 0.1
    assert recipe.optim.opt_kwargs == {"eps": 1e-8}
    assert recipe.roles["student"].kwargs == {"drop_rate": 0.1}
    assert recipe.optim.min_lr == 0.0005


def test_long_values_are_shortened(zoo):
    with pytest.raises(KdzooError) as caught:
        go(zoo, f"optim.lr={'x' * 5000}")
    assert len(str(caught.value)) < 400
    with pytest.raises(KdzooError) as caught:
        go(zoo, f"{'x' * 5000}=1")
    assert len(str(caught.value)) < 400
