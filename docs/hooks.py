"""What the pages need to be a site: links into the repository, which is no part of it."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / 'docs'
_LINK = re.compile(r'(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)')
_ROLE = re.compile(r':(?:attr|class|data|exc|func|meth|mod):<code>~?(?P<name>[^<]+)</code>')


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Links to files outside of ``docs``: to ``repo_url`` if there is one, else their path."""
    folder = (DOCS / page.file.src_uri).parent

    def outside(match: re.Match) -> str:
        target = (folder / match['target']).resolve()
        if '://' in match['target'] or target.is_relative_to(DOCS) or not target.exists():
            return match[0]
        path = target.relative_to(ROOT).as_posix()
        if config.repo_url:
            kind = 'tree' if target.is_dir() else 'blob'
            url = f'{config.repo_url.rstrip("/")}/{kind}/main/{path}{match["anchor"] or ""}'
            return f'[{match["text"]}]({url})'
        return f'`{path}`' if match['text'].strip('`') == path else f'{match["text"]} (`{path}`)'

    return _LINK.sub(outside, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Names in docstrings lead to their entry in the reference, where there is one."""

    def entry(match: re.Match) -> str:
        name = match['name']
        shown = f'<code>{name.rpartition(".")[2]}</code>'
        return f'<autoref identifier="{name}" optional>{shown}</autoref>'

    return _ROLE.sub(entry, html)
