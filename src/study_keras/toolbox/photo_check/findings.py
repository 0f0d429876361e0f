"""由逐张的结果得出整个文件夹的发现（finding）。"""

from dataclasses import dataclass
from statistics import median

from toolbox.photos.names import name_troubles

FAR_SMALLER = 0.25  # 一类的张数不到各类中位数的四分之一，算远比别的少
_TRUNCATED, _MISNAMED, _SMALL = "文件不完整", "名字与内容不符", "很小"  # photos/ 里各句的开头


@dataclass(frozen=True)
class Kind:
    """一种发现：标题，该怎么办；is_note 的只是让人知道，不算问题。"""

    title: str
    advice: str
    is_note: bool = False


KINDS = {
    "unreadable": Kind("读不出来", "重新拷贝，或转成 JPEG；训练时会被排除"),
    "truncated": Kind("不完整（截断）", "重新拷贝或下载；训练时会被排除"),
    "unused": Kind("用不上的文件、链接与文件夹", "移进类别文件夹，或移走；训练时会被排除"),
    "misnamed": Kind("名字与内容不符", "照内容改扩展名；课程照内容读，别的程序未必"),
    "two_labels": Kind("一张照片，两个标签", "最多一个是对的：只留那一个"),
    "identical": Kind("内容相同", "只留一张"),
    "near_duplicates": Kind("几乎相同", "看一看，连拍的只留一张；划分时它们总在同一部分"),
    "leak": Kind("跨越训练与验证（泄漏）", "从训练里移走，不然验证的准确率高得不可信"),
    "one_scene": Kind("一类几乎全是同一个画面", "换个地方、时间多拍一些；验证的准确率会高得不可信"),
    "empty": Kind("一张能读的照片也没有的类别", "添照片，或移走这个文件夹"),
    "single": Kind("只有一张照片的类别", "添照片：一张没法既训练又验证"),
    "few": Kind("远比别的类别少", "添照片，或与相近的类别合并"),
    "small": Kind("太小", "换大些的；放大得来的细节是假的"),
    "dark": Kind("太暗", "看一看还认不认得出；认不出就移走"),
    "blurred": Kind("模糊", "看一看还认不认得出；认不出就移走"),
    "panorama": Kind("又长又窄（全景、横幅）", "先裁出主体；课程会把整张压成正方形"),
    "names": Kind("换个系统会出错的名字", "改名，再交给别人或换电脑"),
    "labels": Kind("可疑的标签", "逐张看：错的改，对的不动；难认的照片也会在里面"),
    "converted": Kind("读时转换了", "不必做什么；照片不对劲时先看这里", is_note=True),
    "ignored": Kind("略过的系统文件与隐藏文件", "不必做什么", is_note=True),
    "followed": Kind("跟着链接读的文件夹", "不必做什么；这些照片在别处，不会被移走", is_note=True),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """一处发现。files：涉及的文件或文件夹（相对路径）；detail：补充的一句，可以为空。"""

    kind: str
    files: tuple[str, ...]
    detail: str = ""


def class_sizes(results, class_names):
    """{类别: 能读的张数}，依类别名单的顺序。"""
    counts = dict(results.select("class, COUNT(*)", "WHERE reason IS NULL GROUP BY class"))
    return {name: counts.get(number, 0) for number, name in enumerate(class_names)}


def find_all(results, walk, class_names, too_alike, suspicious):
    """依次给出各处发现。

    Args:
        results, walk, class_names, too_alike: 见 examine。
        suspicious: 函数 (宽, 高, 亮度, 清晰度) -> 依次给出 (种类, 说明)。
    """
    yield from _about_files(results, walk)
    yield from _about_content(results)
    yield from _about_groups(results, class_names)
    yield from _about_classes(class_sizes(results, class_names), too_alike)
    looked = "name, notes, width, height, brightness, sharpness"
    for name, notes, *measured in results.select(looked, "WHERE reason IS NULL ORDER BY name"):
        for note in notes:
            if not note.startswith(_SMALL):  # 多小算太小由 suspicious 定
                yield Finding("misnamed" if note.startswith(_MISNAMED) else "converted", (name,), note)
        for kind, detail in suspicious(*measured):
            yield Finding(kind, (name,), detail)
    for path, trouble in name_troubles(name for (name,) in results.select("name", "ORDER BY name")):
        yield Finding("names", (path,), trouble)


def _about_files(results, walk):
    """读不出来的、用不上的、略过的。"""
    for name, reason in results.select("name, reason", "WHERE reason IS NOT NULL ORDER BY name"):
        yield Finding("truncated" if reason.startswith(_TRUNCATED) else "unreadable", (name,), reason)
    for path, reason in walk.problems:
        yield Finding("unused", (path.relative_to(walk.root).as_posix(),), reason)
    for path in walk.followed:
        yield Finding("followed", (path.relative_to(walk.root).as_posix(),))
    for name, count in walk.ignored.items():
        yield Finding("ignored", (name,), f"{count} 处")


_HELD_OUT_FIRST = "CASE part WHEN 'test' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END"  # 移走时留下第一张


def _about_content(results):
    """内容相同的；同一个画面、不同的标签。"""
    same = "WHERE reason IS NULL GROUP BY sha256 HAVING COUNT(*) > 1 ORDER BY MIN(name)"
    for sha256, classes in list(results.select("sha256, COUNT(DISTINCT class)", same)):
        members = f"WHERE reason IS NULL AND sha256 = ? ORDER BY {_HELD_OUT_FIRST}, name"
        names = [name for (name,) in results.select("name", members, (sha256,))]
        yield Finding("two_labels" if classes > 1 else "identical", tuple(names))
    several = "COUNT(DISTINCT class) > 1 AND COUNT(DISTINCT sha256) > 1"
    scenes = f"WHERE reason IS NULL GROUP BY scene HAVING {several} ORDER BY MIN(name)"
    for (scene,) in list(results.select("scene", scenes)):
        members = "WHERE reason IS NULL AND scene = ? ORDER BY name"
        names = [name for (name,) in results.select("name", members, (scene,))]
        yield Finding("two_labels", tuple(names), "几乎相同")


def _about_groups(results, class_names):
    """一类之内几乎相同的；跨越给定的几份的。"""
    groups = "WHERE reason IS NULL GROUP BY class, leader HAVING COUNT(*) > 1 ORDER BY MIN(name)"
    for number, leader, contents, parts in list(
        results.select("class, leader, COUNT(DISTINCT sha256), COUNT(DISTINCT part)", groups)
    ):
        order = f"ORDER BY {_HELD_OUT_FIRST}, width * height DESC, name"
        members = f"WHERE reason IS NULL AND class = ? AND leader = ? {order}"
        names = tuple(name for (name,) in results.select("name", members, (number, leader)))
        if contents > 1:
            yield Finding("near_duplicates", names)
        if parts > 1:
            yield Finding("leak", names, f"类别 {class_names[number]}")


def _about_classes(sizes, too_alike):
    """照片太少、太像的类别。"""
    usual = median(sizes.values())
    for name, size in sizes.items():
        if size == 0:
            yield Finding("empty", (name,))
        elif size == 1:
            yield Finding("single", (name,))
        elif size < FAR_SMALLER * usual:
            yield Finding("few", (name,), f"{size} 张，各类的中位数是 {usual:g} 张")
        if name in too_alike:
            yield Finding("one_scene", (name,), f"{size} 张里有 {too_alike[name]} 张几乎相同")
