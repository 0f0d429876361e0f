// 两个页面共用的小函数：说一句话、画条形、把文字安全地放进页面。

import { order } from "./model.js";

const SHOWN = 5;

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
