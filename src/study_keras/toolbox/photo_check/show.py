"""把发现说给人听（表），或说给程序听（JSON）。"""

from collections import defaultdict

from toolbox.photo_check.findings import KINDS
from toolbox.terminal.text import visible

_MOST_NAMED = 50  # 表里一种发现最多逐个说出这么多处；JSON 与网页里总是全的


def by_kind(findings):
    """{种类: [Finding, ...]}，依 KINDS 的顺序，没有的不在内。"""
    groups = defaultdict(list)
    for finding in findings:
        groups[finding.kind].append(finding)
    return {kind: groups[kind] for kind in KINDS if groups[kind]}


def print_findings(findings):
    """打印各处发现，一种一段：标题、处数、该怎么办，再逐个点名。"""
    groups = by_kind(findings)
    for kind, members in groups.items():
        print(f"\n{KINDS[kind].title}（{kind}）：{len(members)} 处。{KINDS[kind].advice}。")
        for finding in members[:_MOST_NAMED]:
            names = " = ".join(map(visible, finding.files))
            print(f"  {names}" + (f"：{visible(finding.detail)}" if finding.detail else ""))
        if len(members) > _MOST_NAMED:
            print(f"  ……还有 {len(members) - _MOST_NAMED} 处，全部见 --format json 或 --page。")
    problems = {kind: len(members) for kind, members in groups.items() if not KINDS[kind].is_note}
    if problems:
        counts = "，".join(f"{KINDS[kind].title} {count}" for kind, count in problems.items())
        print(f"\n共 {sum(problems.values())} 处发现：{counts}。")
    else:
        print("\n没有发现问题。")


def as_json(root, sizes, findings):
    """写成 JSON 的内容。"""
    return {
        "folder": str(root),
        "classes": sizes,
        "findings": [
            {
                "kind": finding.kind,
                "title": KINDS[finding.kind].title,
                "is_note": KINDS[finding.kind].is_note,
                "files": list(finding.files),
                "detail": finding.detail,
            }
            for group in by_kind(findings).values()
            for finding in group
        ],
    }
