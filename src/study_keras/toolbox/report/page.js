"use strict";
// 可疑的标签：记下每张照片的决定（记在浏览器里），下载成改动清单
const main = document.querySelector("main");
const cards = [...document.querySelectorAll(".doubt")];
const storageKey = "study_keras report " + main.dataset.key;
const marks = new Map(Object.entries(readMarks()));

function readMarks() {
  try {
    return JSON.parse(localStorage.getItem(storageKey)) || {};
  } catch {
    return {}; // 有的浏览器不让本地文件用 localStorage：只在这一次记着
  }
}

function keepMarks() {
  try {
    localStorage.setItem(storageKey, JSON.stringify(Object.fromEntries(marks)));
  } catch {
    // 同上
  }
}

function changes() {
  return cards
    .filter((card) => marks.has(card.dataset.file))
    .map((card) => ({ file: card.dataset.file, ...marks.get(card.dataset.file) }));
}

function show() {
  for (const card of cards) {
    const mark = marks.get(card.dataset.file);
    card.classList.toggle("marked", Boolean(mark));
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.action === mark?.action));
    }
    if (mark?.label) card.querySelector("select").value = mark.label;
  }
  const made = changes();
  const count = (action) => made.filter((change) => change.action === action).length;
  document.getElementById("count").textContent = made.length
    ? `已标记 ${made.length} 张：没错 ${count("right")}，改类别 ${count("relabel")}，不用 ${count("leave_out")}。`
    : "还没有标记。";
  document.getElementById("download").disabled = document.getElementById("clear").disabled = !made.length;
}

function mark(card, action) {
  const label = card.querySelector("select").value;
  marks.set(card.dataset.file, action === "relabel" ? { action, label } : { action });
  keepMarks();
  show();
}

function download() {
  const list = { version: 1, folder: main.dataset.folder, changes: changes() };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(list, null, 2) + "\n"], { type: "application/json" }));
  link.download = "photo_changes.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const card of cards) {
  for (const button of card.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-pressed") === "true") {
        marks.delete(card.dataset.file); // 再按一次就取消
        keepMarks();
        show();
      } else {
        mark(card, button.dataset.action);
      }
    });
  }
  card.querySelector("select").addEventListener("change", () => mark(card, "relabel"));
}

if (cards.length) {
  document.getElementById("download").addEventListener("click", download);
  document.getElementById("clear").addEventListener("click", () => {
    marks.clear();
    keepMarks();
    show();
  });
  show();
}
