// 教它认新的东西：每样几张照片，特征来自模型（不变），分类头在这里现学。什么也不留下，除非自己下载。

import { Camera } from "./camera.js";
import { loadAbout, loadModel, order } from "./model.js";
import {
  element, inButton, inItem, inSpan, percent, reasonOf, say, sayWatching, sayWhenReady, showBars, showPhoto, visible,
} from "./page.js";
import { decodePhoto, modelInput } from "./pixels.js";
import { crossValidated, learn } from "./softmax.js";
import { zip } from "./zip.js";

const BURST = 10; // 连拍几张
const PAUSE = 200; // 连拍两张之间的毫秒数
const FEWEST = 2; // 一样至少几张：考试时留出一张，还有一张可学
const MOST_BYTES = 1e9; // 一次下载最多这么大
const UNFIT = /[\\/:*?"<>|\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|^\.|[. ]$/u; // 不能作文件夹名，或在别的系统上不能
const RESERVED = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\.|$)/i; // 同 toolbox/photos/names.py
const README = "在课程的文件夹里，把 photos 的路径给第 1 课：\n\n"
  + "python src/study_keras/hello_transfer_learning.py --images-dir photos\n";
const camera = new Camera(element("video"));
const classes = []; // {input, shown, photos: [{bytes, kind, features, best}]}
const loading = loadModel(loadAbout());
let head = null; // 学好的分类头
let queue = Promise.resolve(); // 一次只算一张

start();

async function start() {
  for (const [id, act] of [["camera", toggleCamera], ["turn", () => openCamera(true)], ["learn", study], ["download", download]]) {
    element(id).addEventListener("click", act);
  }
  element("add").addEventListener("click", () => addClass().input.focus());
  element("try").addEventListener("change", (event) => examine(event.target));
  for (let i = 0; i < 2; i++) addClass();
  await sayWhenReady(() => loading);
}

/** 一样东西的卡片：名字，怎样给照片，已经有的照片。 */
function addClass() {
  const input = document.createElement("input");
  input.type = "text";
  input.maxLength = 40;
  input.placeholder = "名字";
  input.setAttribute("aria-label", `第 ${classes.length + 1} 样的名字`);
  const files = document.createElement("input");
  Object.assign(files, { type: "file", accept: "image/*", multiple: true });
  const choose = document.createElement("label");
  choose.className = "button";
  choose.append("选照片", files);
  const shown = document.createElement("ul");
  shown.className = "samples";
  const each = { input, shown, photos: [] };
  files.addEventListener("change", () => {
    take(each, [...files.files]);
    files.value = "";
  });
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(inButton("拍一张", () => shoot(each, 1)), inButton(`连拍 ${BURST} 张`, () => shoot(each, BURST)), choose);
  element("classes").append(inItem(input, controls, shown));
  classes.push(each);
  return each;
}

async function shoot(each, count) {
  if (!camera.isOpen && !(await openCamera())) return;
  for (let i = 0; i < count && camera.hasPicture; i++) {
    if (i) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    await take(each, [new File([await camera.photo("image/jpeg")], "刚拍的照片")]);
  }
}

/** 依次算出特征、放进这一样；坏的只说它坏了。 */
function take(each, files) {
  for (const file of files) queue = queue.then(() => addPhoto(each, file));
  return queue;
}

async function addPhoto(each, file) {
  try {
    const photo = await look(file);
    each.photos.push(photo);
    const button = inButton("", () => removePhoto(each, photo, item));
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = "一张照片，按一下就去掉";
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
    button.className = "";
    button.append(image);
    const item = inItem(button);
    each.shown.append(item);
    say(`${nameOf(each)}：${each.photos.length} 张。`);
  } catch (error) {
    say(`${visible(file.name)} ${reasonOf(error)}。`, true);
  }
}

function removePhoto(each, photo, item) {
  each.photos.splice(each.photos.indexOf(photo), 1);
  item.remove();
  say(`${nameOf(each)}：去掉一张，还有 ${each.photos.length} 张。`);
}

/** 一张照片的内容、特征，与原来的模型认成的那一类。 */
async function look(file) {
  const model = await loading;
  const { bitmap, shrink, kind } = await decodePhoto(file);
  const { probabilities, features } = await model.answer(modelInput(bitmap, bitmap.width, bitmap.height, shrink));
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (!camera.isOpen) {
    showPhoto(bitmap);
    clearBars();
  }
  bitmap.close();
  return { bytes, kind, features, best: model.labels[order(probabilities)[0]] };
}

async function study() {
  await queue;
  const used = usedClasses();
  if (used === null) return;
  say("正在学……");
  await new Promise((resolve) => setTimeout(resolve, 50)); // 让这句话先显示出来
  const labels = used.flatMap((each, c) => each.photos.map(() => c));
  const photos = used.flatMap((each) => each.photos);
  const features = photos.map((photo) => photo.features);
  const began = performance.now();
  head = learn(features, labels, used.length);
  const seconds = ((performance.now() - began) / 1000).toFixed(2);
  head.names = used.map(nameOf);
  clearBars();
  say(`学好了：${used.length} 样，${photos.length} 张，用了 ${seconds} 秒。对着相机，或者“考一考”。`);
  report(photos, labels, crossValidated(features, labels, used.length));
  element("try").disabled = false;
  element("download").hidden = false;
}

/** 有照片或有名字的各样；还不齐，就说缺什么，返回 null。 */
function usedClasses() {
  const used = classes.filter((each) => each.photos.length || each.input.value.trim());
  const problem = problemWith(used);
  if (problem) say(problem, true);
  return problem ? null : used;
}

function problemWith(used) {
  const names = used.map((each) => each.input.value.trim());
  const unfit = names.find((name) => UNFIT.test(name));
  if (unfit !== undefined) return `${visible(unfit)} 不能作名字：里面有文件夹名不能用的字符。`;
  const reserved = names.find((name) => RESERVED.test(name));
  if (reserved !== undefined) return `${reserved} 不能作名字：是 Windows 保留的设备名。`;
  if (names.includes("")) return "有一样有照片，没有名字：请给它一个名字。";
  const different = new Set(names.map((name) => name.normalize("NFC").toLowerCase()));
  if (different.size < names.length) return "有两样名字相同：请改一个。";
  const few = used.find((each) => each.photos.length < FEWEST);
  if (few) return `${nameOf(few)} 只有 ${few.photos.length} 张照片：每样至少 ${FEWEST} 张，十来张才好。`;
  return used.length < 2 ? "至少要两样，才谈得上分清。" : "";
}

/** 考试的结果：总的、各样的；原来的模型也认得其中几样时，两个分类头在同样的照片上比一比。 */
function report(photos, labels, answers) {
  const right = labels.map((label, i) => answers[i] === label);
  const lines = [`没有见过的照片上（五份交叉验证）：${score(right)}。连拍的几张几乎一样，这个数就偏高。`];
  head.names.forEach((name, c) => lines.push(`${name}：${score(right.filter((_, i) => labels[i] === c))}`));
  loading.then((model) => {
    const both = labels.map((_, i) => i).filter((i) => model.labels.includes(head.names[labels[i]]));
    if (both.length) {
      const before = both.map((i) => photos[i].best === head.names[labels[i]]);
      lines.push(`原来的模型也认得的 ${both.length} 张：原来的分类头${score(before)}，现学的${score(both.map((i) => right[i]))}。`);
    }
    element("report").replaceChildren(...lines.map((line) => inItem(inSpan(line))));
    element("report").hidden = false;
  });
}

const score = (right) => `认对 ${right.filter(Boolean).length}/${right.length}`;

function examine(input) {
  const [file] = input.files;
  input.value = "";
  closeCamera();
  queue = queue.then(() => answerFile(file));
}

async function answerFile(file) {
  try {
    const { features } = await look(file);
    if (!camera.isOpen) showAnswer(features);
  } catch (error) {
    say(`${visible(file.name)} ${reasonOf(error)}。`, true);
  }
}

function showAnswer(features) {
  const probabilities = head.probabilities(features);
  const [best] = order(probabilities);
  say(`${head.names[best]}，${percent(probabilities[best])}。现学的分类头不会说都不像，总要选一个。`);
  showBars(head.names, probabilities);
}

/** 答案只留在它的照片、它的分类头旁边。 */
function clearBars() {
  element("bars").replaceChildren();
}

function toggleCamera() {
  return camera.isOpen ? closeCamera() : openCamera();
}

function closeCamera(wasOpen = camera.isOpen) {
  camera.close(); // 还在等允许的，也作废
  if (!wasOpen) return;
  clearBars();
  element("turn").hidden = true;
  element("empty").hidden = false;
  element("stage").classList.remove("filled");
  element("camera").textContent = "用相机";
  say("相机关上了。");
}

async function openCamera(turned = false) {
  try {
    if (!(await camera.open(turned))) return false;
  } catch (error) {
    closeCamera(turned || camera.isOpen); // 换镜头时，原来的已经关了
    say(`相机打不开：${error.message}。可以选照片。`, true);
    return false;
  }
  clearBars();
  for (const id of ["photo", "empty"]) element(id).hidden = true;
  element("stage").classList.add("filled");
  element("camera").textContent = "关相机";
  camera.watch(async (source, width, height) => {
    if (!head) return;
    const model = await loading;
    const { features } = await model.answer(modelInput(source, width, height, 1));
    if (camera.isOpen) showBars(head.names, head.probabilities(features));
  }, (reason) => {
    if (reason) clearBars();
    sayWatching(reason);
  });
  element("turn").hidden = !(await camera.hasAnother());
  return true;
}

function download() {
  const used = usedClasses(); // 学过以后，名字可能又改了
  if (used === null) return;
  const files = [{ name: "README.txt", bytes: new TextEncoder().encode(README) }];
  for (const each of used) {
    each.photos.forEach(({ bytes, kind }, i) => {
      files.push({ name: `photos/${nameOf(each)}/${String(i + 1).padStart(3, "0")}.${kind}`, bytes });
    });
  }
  const total = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (total > MOST_BYTES) return say("照片总共太大，装不进一个文件：请去掉几张。", true);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(zip(files));
  link.download = "photos.zip";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const nameOf = (each) => each.input.value.trim() || `第 ${classes.indexOf(each) + 1} 样`;
