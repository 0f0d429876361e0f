"""第 5 课：报告，看模型看见了什么、错在哪里。

你会学到：怎样读混淆矩阵、精确率（precision）、召回率（recall）与它们的区间，概率可不可信（校准 calibration），
         怎样用类激活图（class activation map）看模型看哪里，怎样找出标错的照片并改正。
需要：    第 1 课或第 3 课训练出的模型文件夹；另装两个包：pip install -r requirements/report.txt。
多久：    1,500 张照片，第一次十几秒，缓存的特征还在时不到十秒。
命令：    python src/study_keras/hello_report.py
预期：    写出一张能离线打开的网页 output/模型/report/report.html。讲解见 docs/study_keras/hello_report.md。
"""

import toolbox  # noqa: F401  没有装包时，在这里就说清楚

# isort: split

import numpy as np

from toolbox import model_folder_reader as model_folder
from toolbox.held_out import find_held_out
from toolbox.later import tf
from toolbox.photos.folder import refuse_among_photos
from toolbox.report import contents, page
from toolbox.report.answers import answer
from toolbox.report.network import load_network
from toolbox.saved_run import open_run
from toolbox.terminal.arguments import ArgumentParser
from toolbox.terminal.files import OUTPUT_DIR
from toolbox.terminal.packages import require
from toolbox.terminal.run import run_main
from toolbox.terminal.stopwatch import Stopwatch
from toolbox.terminal.tensorflow_start import preload_tensorflow
from toolbox.terminal.text import visible

NEIGHBOURS = 3  # 每张错的照片旁边，摆几张最像它的训练照片
COMPONENTS = 50  # t-SNE 之前，主成分分析（PCA）留下几个数
PERPLEXITY = 30  # t-SNE 里每张照片看重多少个邻居


def parse_arguments(argv):
    parser = ArgumentParser("第 5 课：把一个模型文件夹的成绩、错误与可疑的标签写成一张网页。")
    add = parser.add_argument
    add("model_dir", nargs="?", metavar="MODEL_DIR", help="模型文件夹；不给则用 output/ 下最新的")
    add("--images-dir", metavar="DIR", help="照片文件夹现在在哪里；不给则还在训练时的地方")
    add("--out", metavar="DIR", help="报告写在哪里；不给则写在模型文件夹的 report/ 里")
    return parser.parse_args(argv)


def class_activation_maps(head, feature_maps, outputs):
    """模型看哪里：类激活图，做法是 Grad-CAM（Selvaraju 等，ICCV 2017）。

    特征图的每个通道（channel）稍稍变大，这一类的得分会变多少？这就是梯度，在整张图上取平均，便是这个通道的分量。
    各通道按分量相加，只留下正的：支持这一类的地方。特征图后面是全局平均池化，各处的梯度相同，所以平均不损失什么。

    Args:
        head: Keras 模型，特征图 -> 各类的得分（softmax 之前的；之后的梯度会混进别的类）。
        feature_maps: 最后的特征图，(n, h, w, c)。
        outputs: 每张照片要看的是第几个输出，(n,)。

    Returns:
        数组 (n, h, w)，不小于 0。
    """
    feature_maps = tf.convert_to_tensor(feature_maps)
    with tf.GradientTape() as tape:
        tape.watch(feature_maps)
        scores = tf.gather(head(feature_maps), outputs, batch_dims=1)
    gradients = tape.gradient(scores, feature_maps)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * feature_maps, axis=-1)).numpy()


def nearest(features, training_features, count=NEIGHBOURS):
    """每张照片最像哪几张训练照片：池化的特征的余弦（cosine）最大的。返回序号，(n, count)，最像的在前。"""

    def normalized(rows):
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    similarity = normalized(features) @ normalized(training_features).T
    return np.argsort(-similarity, axis=1, kind="stable")[:, :count]


def map_of_photos(features):
    """把特征画到平面上：先 PCA 再 t-SNE（van der Maaten 与 Hinton，JMLR 2008），像的在一起。返回 (n, 2)，0 至 1。

    种子固定，同样的照片总是同样的图。只看谁和谁在一起：远近与方向没有意义。不到三张，就排在对角线上。
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(features) < 3:
        return np.linspace((0, 0), (1, 1), len(features))
    reduced = PCA(min(COMPONENTS, *features.shape), random_state=0).fit_transform(features)
    perplexity = min(PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):  # 点不多，几个线程只会互相等
        points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced)
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - low) / np.maximum(high - low, 1e-12)


def look(network, run, photos, names):
    """每张照片的类激活图：对 names 里的每个类别名各一张。返回 [(n, h, w) 的数组, ...]。

    Args:
        names: 几个列表，每个列表里是每张照片要看的类别。
    """
    if not photos:  # 一张也没有错
        return [[] for _ in names]
    feature_maps = network.feature_maps(photos)
    outputs = [[run.output_of[name] for name in column] for column in names]
    return [class_activation_maps(network.head, feature_maps, column) for column in outputs]


def study_photos(run, held_out, stage):
    """要看照片的各部分：概率、错误、类激活图、最像的训练照片、二维图。

    Returns:
        (去掉了内容改过的照片的 HeldOut, contents.Studied)；都改过时后者为 None。
    """
    with stage("载入模型"):
        network = load_network(run.folder)
    with stage("特征与概率"):
        answers, training_features = answer(network, run, held_out)
    if not answers.photos:
        return answers.held_out, None
    chosen = contents.choose(answers)
    with stage("模型看哪里"):
        mistakes = look(network, run, *chosen.mistakes_to_look_at(answers))
        right = look(network, run, *chosen.right_to_look_at(answers))
        neighbours = nearest(answers.features[chosen.mistakes], training_features)
    with stage("照片的地图"):
        points = map_of_photos(answers.features[chosen.on_map])
    return answers.held_out, contents.Studied(answers, chosen, mistakes, right, neighbours, points)


def main(argv=None):
    args = parse_arguments(argv)
    require("requirements/report.txt", sklearn="scikit-learn", jinja2="Jinja2")
    run = open_run(args.model_dir or model_folder.newest(OUTPUT_DIR))
    print(f"模型文件夹：{visible(run.folder)}")
    target = page.target_folder(run.folder, args.out)
    stage = Stopwatch()
    preload_tensorflow()
    with stage("找照片"):
        held_out = find_held_out(run, args.images_dir)
        refuse_among_photos("--out", target, held_out.root)
    held_out, studied = study_photos(run, held_out, stage) if held_out.photos else (held_out, None)
    with stage("写网页"):
        page.write(target, run, held_out, studied)
    contents.summarize(run, studied, held_out, target, stage)


if __name__ == "__main__":
    run_main(main, when_interrupted="没有写出半成品；缓存的特征都在，重新运行同一条命令即可。")
