"""The student's card: names of others are text in it."""

import re

from kdzoo.jobs.card import student_card
from kdzoo.jobs.lineage import Lineage
from kdzoo.markdown import code_block, markdown_text
from kdzoo.recipe.model import Recipe

EVIL = "<img src=x onerror=alert(1)> `a` [b](c) |d"


def test_names_are_no_markup():
    recipe = Recipe.model_validate(
        {
            "kdzoo": "0",
            "scheme": "offline",
            "algorithm": {"name": EVIL, "note": "```\n<script>x</script>\n````"},
            "roles": {"student": EVIL, "teacher": EVIL},
            "data": {"options": {"classes": [EVIL]}},
        }
    )
    card = student_card(recipe, {"test/last": 90.0, "parameters": 5}, Lineage(EVIL, (EVIL,), {"other": EVIL}))
    head, _, recipe_block = card.partition("## The recipe")
    assert "&lt;img src=x onerror=alert(1)&gt;" in head
    assert not re.search(r"<|(?<!\\)[`\[]", head)
    fence = "`" * 5  # longer than the four that a setting has
    assert recipe_block.startswith(f"\n\n{fence}yaml\n")
    assert recipe_block.endswith(f"\n{fence}\n")
    assert recipe_block.count(fence) == 2


def test_text_of_others_is_shown_as_it_is():
    assert markdown_text("a\n<b> & *c* [d](e) `f` g_h") == r"a &lt;b&gt; &amp; \*c\* \[d\](e) \`f\` g\_h"
    assert code_block("a\n```\n", "yaml") == "````yaml\na\n```\n````"
