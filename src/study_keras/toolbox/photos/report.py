"""照片文件夹的检查结果，说给人听。"""

from collections import Counter, defaultdict

from toolbox.terminal.text import visible

_MOST_NAMED = 20  # 逐个说出名字的，最多这么多；其余按原因数


def print_report(folder):
    """打印每一类的张数，并逐个说出排除了哪些文件、为什么。folder：PhotoFolder。"""
    counts = Counter(photo.class_name for photo in folder.photos)
    sizes = "，".join(f"{visible(name)} {counts[name]}" for name in folder.class_names)
    print(f"照片：{visible(folder.root)}，共 {len(folder.photos)} 张：{sizes}")
    if folder.problems:
        print(f"排除了 {len(folder.problems)} 个不能用的：")
    for path, reason in folder.problems[:_MOST_NAMED]:
        print(f"  {visible(path.relative_to(folder.root).as_posix())}：{visible(reason)}")
    for reason, count in Counter(_kind(reason) for _, reason in folder.problems[_MOST_NAMED:]).most_common():
        print(f"  ……还有 {count} 个：{visible(reason)}")
    converted = Counter(_kind(note) for notes in folder.notes.values() for note in notes)
    if converted:
        print("读的时候：" + "；".join(f"{visible(note)} {count} 张" for note, count in converted.most_common()))
    if folder.ignored:
        print("略过：" + "、".join(f"{visible(name)}（{count} 处）" for name, count in folder.ignored.items()))
    for warning in folder.warnings:
        print(f"注意：{warning}")


def _kind(reason):
    """原因去掉括号里的细节，好归在一起数。"""
    return reason.split("（")[0]


def warnings_about(folder, followed, too_alike):
    """依次给出该让人知道的事，一条一句。too_alike：见 group_near_duplicates。"""
    for path in followed:
        yield f"跟着链接读了 {visible(path.relative_to(folder.root).as_posix())}，里面的照片算在内。"
    photos_of, labels_of = defaultdict(list), defaultdict(set)
    for photo in folder.photos:
        labels_of[photo.sha256].add(photo.class_name)
    for photo in folder.photos:
        if len(labels_of[photo.sha256]) > 1:
            photos_of[photo.sha256].append(visible(folder.name(photo)))
    for names in list(photos_of.values())[:_MOST_NAMED]:
        yield f"一张照片，两个标签：{' = '.join(names)}。请只留一个。"
    if len(photos_of) > _MOST_NAMED:
        yield f"一张照片，两个标签：还有 {len(photos_of) - _MOST_NAMED} 张。"
    for name, count in too_alike.items():
        yield (
            f"类别 {visible(name)} 有 {count} 张几乎相同（像是固定的相机拍的），只好逐张划分："
            "训练与验证的照片差不多一样，验证的准确率会高得不可信。"
        )
