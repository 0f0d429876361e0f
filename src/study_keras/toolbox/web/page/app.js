// 页面：拿到照片（选、拖、粘贴、拍、样张），问模型，把答案画出来。什么也不记住：没有 cookie，没有存储。

import { Camera } from "./camera.js";
import { fetchOk, loadAbout, loadModel, order } from "./model.js";
import {
  element, inItem, percent, reasonOf, say, sayWatching, sayWhenReady, showBars, showPhoto, summary, visible,
} from "./page.js";
import { decodePhoto, modelInput } from "./pixels.js";

const DARKEST = 150; // 与答案无关的地方变多暗，最多 255
const about = loadAbout();
export const loading = loadModel(about); // 测试也用它
const camera = new Camera(element("video"));
let current = 0; // 第几次回答；后来的照片已经显示，先前的就不再显示
let batch = 0; // 第几批；又给了一批，或开了相机，先前没有轮到的就不认了
let queue = Promise.resolve();

start();

function start() {
  listen();
  sayWhenReady(() => Promise.all([about.then(introduce), loading]));
}

function introduce({ labels, samples }) {
  element("labels").textContent = summary(labels);
  showSamples(samples);
}

function listen() {
  element("files").addEventListener("change", (event) => {
    take([...event.target.files]);
    event.target.value = ""; // 同一张可以再选一次
  });
  document.addEventListener("paste", (event) => takeFrom(event, event.clipboardData, "剪贴板里没有照片。"));
  for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => drag(event, true));
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? drag(event, false));
  document.addEventListener("drop", (event) => {
    drag(event, false);
    takeFrom(event, event.dataTransfer, "拖来的不是文件：请先把照片存下来。");
  });
  element("show-map").addEventListener("change", () => {
    element("map").hidden = !element("show-map").checked;
  });
  element("camera").addEventListener("click", () => (camera.isOpen ? closeCamera() : openCamera()));
  element("turn").addEventListener("click", () => openCamera(true));
  element("shoot").addEventListener("click", shoot);
}

function drag(event, over) {
  event.preventDefault();
  element("stage").classList.toggle("over", over);
}

function takeFrom(event, transfer, otherwise) {
  const files = [...(transfer?.files ?? [])];
  if (files.length) {
    event.preventDefault();
    take(files);
  } else {
    say(otherwise, true);
  }
}

function showSamples(names) {
  names.forEach((name, i) => {
    const image = document.createElement("img");
    image.src = `samples/${name}`;
    image.alt = `画的花，第 ${i + 1} 张`;
    const button = document.createElement("button");
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => takeSample(`samples/${name}`, image.alt));
    element("samples").append(inItem(button));
  });
}

async function takeSample(path, name) {
  try {
    const response = await fetchOk(path);
    take([new File([await response.blob()], name)]);
  } catch (error) {
    say(`这张样张打不开：${error.message}。`, true);
  }
}

/** 一张或几张照片：依次回答；一张坏了，只说它坏了。 */
function take(files) {
  closeCamera();
  const mine = ++batch;
  const rows = files.length > 1 ? files.map(addRow) : [];
  if (rows.length) element("list").replaceChildren(...rows.map((row) => inItem(row)));
  element("list").hidden = !rows.length;
  files.forEach((file, i) => {
    queue = queue.then(() => (mine === batch ? answerFile(file, rows[i]) : undefined));
  });
  return queue;
}

function addRow(file) {
  const row = document.createElement("button");
  row.type = "button";
  row.textContent = `${visible(file.name)}：……`;
  row.addEventListener("click", () => answerFile(file, row));
  return row;
}

async function answerFile(file, row) {
  const turn = ++current;
  element("list").querySelector("[aria-current]")?.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
  let text;
  try {
    const model = await loading;
    const began = performance.now();
    const { bitmap, shrink, note } = await decodePhoto(file);
    const { width, height } = bitmap;
    if (turn === current) {
      showPhoto(bitmap);
      element("map").hidden = true;
    }
    const answer = await ask(model, bitmap, width, height, shrink);
    bitmap.close();
    text = sentence(model, answer);
    if (turn === current) {
      showAnswer(model, answer, Math.round(performance.now() - began), note && `${note}。`);
      await showMap(model, answer, turn);
    }
  } catch (error) {
    text = reasonOf(error);
    if (turn === current) clearAnswer(`${visible(file.name)} ${text}。`);
  }
  if (row) row.textContent = `${visible(file.name)}：${text}`;
}

async function ask(model, source, width, height, shrink) {
  const pixels = modelInput(source, width, height, shrink);
  const began = performance.now();
  const answer = await model.answer(pixels);
  return { ...answer, milliseconds: performance.now() - began };
}

function showAnswer(model, answer, milliseconds, note = "") {
  const time = `这张用了 ${milliseconds} 毫秒，其中模型 ${Math.round(answer.milliseconds)} 毫秒。`;
  say(`${sentence(model, answer)}。${note}${time}`, Boolean(note));
  element("photo").setAttribute("aria-label", `照片：${sentence(model, answer)}`);
  showBoth(model, answer);
}

function showBoth(model, { probabilities, known }) {
  showBars(model.labels, probabilities);
  element("bars").classList.toggle("doubted", !known);
  element("unknown").hidden = known;
  element("result").hidden = false;
}

/** 类激活图画在照片上：不起作用的地方变暗；浏览器把 7×7 的格子放大得平滑。 */
async function showMap(model, answer, turn) {
  const values = await model.activation(answer);
  if (turn !== current) return;
  element("map-choice").hidden = values === null;
  if (values === null) return;
  const side = Math.sqrt(values.length);
  const image = new ImageData(side, side);
  values.forEach((value, i) => image.data.set([0, 0, 0, DARKEST * (1 - value)], 4 * i));
  const small = new OffscreenCanvas(side, side);
  small.getContext("2d").putImageData(image, 0, 0);
  const canvas = element("map");
  canvas.width = element("photo").width;
  canvas.height = element("photo").height;
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  canvas.hidden = !element("show-map").checked;
}

function clearAnswer(text) {
  for (const id of ["photo", "map", "result"]) element(id).hidden = true;
  element("empty").hidden = false;
  element("stage").classList.remove("filled");
  say(text, true);
}

async function openCamera(turned = false) {
  try {
    if (!(await camera.open(turned))) return;
  } catch (error) {
    closeCamera(turned || camera.isOpen); // 换镜头时，原来的已经关了
    say(`相机打不开：${error.message}`, true);
    return;
  }
  current++;
  batch++;
  for (const id of ["photo", "map", "empty", "list", "map-choice", "result"]) element(id).hidden = true;
  element("stage").classList.add("filled");
  element("shoot").hidden = false;
  element("camera").textContent = "关相机";
  sayWatching();
  camera.watch(async (source, width, height) => {
    const model = await loading;
    const answer = await ask(model, source, width, height, 1);
    if (camera.isOpen) showBoth(model, answer);
  }, sayFrame);
  element("turn").hidden = !(await camera.hasAnother());
}

function sayFrame(reason) {
  element("result").hidden = reason !== ""; // 先前的答案不是这一帧的
  sayWatching(reason);
}

function closeCamera(wasOpen = camera.isOpen) {
  camera.close(); // 还在等允许的，也作废
  if (!wasOpen) return;
  for (const id of ["shoot", "turn", "result"]) element(id).hidden = true;
  element("camera").textContent = "用相机";
  element("empty").hidden = false;
  element("stage").classList.remove("filled");
  say("相机关上了。");
}

async function shoot() {
  if (!camera.hasPicture) return; // 正在换镜头
  const photo = await camera.photo();
  await take([new File([photo], "刚拍的照片")]);
}

function sentence(model, { probabilities, known }) {
  const [best] = order(probabilities);
  const label = `${visible(model.labels[best])}，${percent(probabilities[best])}`;
  return known ? label : `都不像（最接近的是 ${label}）`;
}
