// 两个页面共用的小函数：说一句话、画条形、把文字安全地放进页面。

import { order } from "./model.js";
import { PhotoError } from "./pixels.js";

const SHOWN = 5;
const LONGEST_SIDE = 1200; // 屏幕上的照片最长的一边

export const element = (id) => document.getElementById(id);

export const percent = (value) => `${(100 * value).toFixed(1)}%`;

/** 看不见、会改变文字方向的字符写成转义，免得文件名捣乱；内容一律用 textContent，不会当成 HTML。 */
export const visible = (text) =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u${c.codePointAt(0).toString(16)}`);

/** 名字太多就只列最后几个。 */
export function summary(labels) {
  const names = labels.slice(-SHOWN).map(visible).join("、");
  return labels.length > SHOWN ? `${names} 等 ${labels.length} 类` : names;
}

export function say(text, bad = false) {
  element("status").textContent = text;
  element("status").classList.toggle("bad", bad);
}

/** 等模型载入，说一句准备好了，或者为什么不行。 */
export async function sayWhenReady(load) {
  try {
    await load();
    say("准备好了。");
  } catch (error) {
    say(`模型载入不了：${error.message}。请检查文件夹是否完整，或换一个新一些的浏览器。`, true);
  }
}

/** 相机开着时的一句；reason 是这一帧为什么没有认。 */
export function sayWatching(reason = "") {
  say(reason ? `这一帧没有认：${reason}。` : "对着它：答案随画面变。", reason !== "");
}

/** 一张照片为什么读不出来。 */
export function reasonOf(error) {
  return `读不出来：${error instanceof PhotoError ? error.message : `没有料到的情况（${error.message}）`}`;
}

/** 把照片画在 #photo 上；太大的缩小。 */
export function showPhoto(bitmap) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = element("photo");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
  element("empty").hidden = true;
  element("stage").classList.add("filled");
}

/** 概率最大的几类，各一条。 */
export function showBars(labels, probabilities) {
  element("bars").replaceChildren(...order(probabilities).slice(0, SHOWN).map((i) => {
    const fill = document.createElement("div");
    fill.style.width = `${100 * probabilities[i]}%`;
    const track = document.createElement("div");
    track.className = "track";
    track.setAttribute("aria-hidden", "true");
    track.append(fill);
    return inItem(inSpan(visible(labels[i])), inSpan(percent(probabilities[i])), track);
  }));
}

export function inSpan(text) {
  const span = document.createElement("span");
  span.textContent = text;
  return span;
}

export function inItem(...children) {
  const item = document.createElement("li");
  item.append(...children);
  return item;
}

export function inButton(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}
