"""How the Slack stand-in shows text: everything is visible, nothing is obeyed."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.slack.mrkdwn import Renderer

TAGS = re.compile(r"<(/?)([a-z0-9]+)([^>]*)>")
ALLOWED = {"b", "i", "s", "code", "pre", "br", "blockquote", "a", "span", "time"}


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer({"U1": "data scientist"}, {"C1": "ml-dev"})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("*bold* _it_ ~gone~", "<b>bold</b> <i>it</i> <s>gone</s>"),
        ("*bold _both_*", "<b>bold <i>both</i></b>"),
        ("a_b_c and 2*3*4", "a_b_c and 2*3*4"),
        ("`*code*`", "<code>*code*</code>"),
        ("```a\n<b>```", "<pre>a\n&lt;b&gt;</pre>"),
        (
            "hi <@U1> in <#C1>",
            'hi <span class="mention">@data scientist</span> in <span class="mention">#ml-dev</span>',
        ),
        ("&lt;b&gt; &amp;amp;", "&lt;b&gt; &amp;amp;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<javascript:alert(1)|click>", "&lt;javascript:alert(1)|click&gt;"),
        ("&gt; one\n&gt; two\nthree", "<blockquote>one<br>two</blockquote>three"),
        ("a\nb", "a<br>b"),
        (":white_check_mark: :no_such:", "✅ :no_such:"),
    ],
)
def test_marks(renderer: Renderer, text: str, wanted: str) -> None:
    assert str(renderer.mrkdwn(text)) == wanted


def test_links_and_dates(renderer: Renderer) -> None:
    shown = str(renderer.mrkdwn("<https://x.test/?a=1&amp;b=2|see *it*>"))
    assert 'href="https://x.test/?a=1&amp;b=2"' in shown
    assert ">see *it*</a>" in shown
    assert 'rel="noopener' in shown
    quoted = str(renderer.mrkdwn('<https://x.test/"onmouseover="x|l>'))
    assert "<a" not in quoted
    date = str(renderer.mrkdwn("<!date^1700000000^{date_short} {time}|14 Nov>"))
    assert date == '<time data-epoch="1700000000" data-format="{date_short} {time}">14 Nov</time>'


def test_markdown_blocks_take_no_html(renderer: Renderer) -> None:
    shown = str(renderer.markdown("**b** <img src=x onerror=y> [x](javascript:alert(1)) ![p](https://x.test/p.png)"))
    assert "<strong>b</strong>" in shown
    assert "<img" not in shown
    assert "href" not in shown.replace('href="https://x.test/p.png"', "")


@given(st.text(alphabet="*_~`<>&|@#!^:/ax\n\"' h.tp", max_size=60))
def test_no_text_becomes_markup_of_its_own(text: str) -> None:
    shown = str(Renderer({}, {}).mrkdwn(text))
    for closing, name, attributes in TAGS.findall(shown):
        assert name in ALLOWED
        assert not closing or not attributes
        if name == "a" and not closing:
            target = re.search(r'href="([^"]*)"', attributes)
            assert target
            assert html.unescape(target[1]).startswith(("http://", "https://", "mailto:"))
        assert not re.search(r"\son\w+=", re.sub(r'"[^"]*"', '""', attributes))
    assert "<" not in TAGS.sub("", shown)
