"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const audio = find("audio"), play = find("play"), seek = find("seek"), needle = find("needle");
  const clock = find("clock"), search = find("search"), count = find("count"), follow = find("follow");
  const words = [...document.querySelectorAll(".w")];
  const starts = words.map((word) => Number(word.dataset.s)), ends = words.map((word) => Number(word.dataset.e));
  // Words in order of their start: speakers who talk at once are apart on the page and close in time.
  const order = words.map((_, i) => i).sort((a, b) => starts[a] - starts[b] || a - b);
  const longest = Math.max(1, ...words.map((_, i) => ends[i] - starts[i]));
  const duration = Number(seek.max);

  const pad = (number) => String(number).padStart(2, "0");
  const written = (seconds) => {
    const whole = Math.floor(seconds), hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return duration >= 3600 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
  };

  /* What is said now. */
  let lit = [], asked = null;
  const after = (time) => {
    let low = 0, high = order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (starts[order[middle]] <= time) low = middle + 1; else high = middle;
    }
    return low;
  };
  const said = (time) => {
    const found = [];
    for (let at = after(time) - 1; at >= 0 && starts[order[at]] > time - longest; at--) {
      if (ends[order[at]] > time) found.push(order[at]);
    }
    return found;
  };
  const show = () => {
    const time = asked ?? audio.currentTime, now = said(time);
    if (now.length !== lit.length || now.some((word, i) => word !== lit[i])) {
      lit.forEach((word) => words[word].classList.remove("now"));
      now.forEach((word) => words[word].classList.add("now"));
      if (now.length && follow.getAttribute("aria-pressed") === "true" && !audio.paused) reveal(words[now[0]], false);
      lit = now;
    }
    seek.value = String(time);
    seek.setAttribute("aria-valuetext", `${written(time)} of ${written(duration)}`);
    needle.setAttribute("x1", String(time));
    needle.setAttribute("x2", String(time));
    clock.textContent = `${written(time)} / ${written(duration)}`;
  };
  const reveal = (element, always) => {
    const box = element.getBoundingClientRect();
    if (!always && box.top > 120 && box.bottom < innerHeight - 190) return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    element.scrollIntoView({ block: "center", behavior: still ? "auto" : "smooth" });
  };

  /* The player. */
  const go = (time) => {
    asked = Math.min(Math.max(time, 0), duration);
    if (audio.readyState > 0) { audio.currentTime = asked; asked = null; }
    show();
  };
  const toggle = () => {
    if (!audio.paused) audio.pause();
    else audio.play().catch(() => trouble());
  };
  const trouble = () => { if (audio.error || !audio.currentSrc) find("trouble").hidden = false; };
  const tick = () => { show(); if (!audio.paused) requestAnimationFrame(tick); };
  const state = () => { play.textContent = audio.paused ? "Play" : "Pause"; };
  audio.addEventListener("play", () => { state(); tick(); });
  audio.addEventListener("pause", () => { state(); show(); });
  audio.addEventListener("seeked", show);
  audio.addEventListener("timeupdate", show);
  audio.addEventListener("loadedmetadata", () => {
    find("trouble").hidden = true;
    if (asked !== null) go(asked);
  });
  audio.addEventListener("error", trouble);
  play.addEventListener("click", toggle);
  find("back").addEventListener("click", () => go(audio.currentTime - 5));
  find("forth").addEventListener("click", () => go(audio.currentTime + 5));
  find("speed").addEventListener("change", (event) => { audio.playbackRate = Number(event.target.value); });
  seek.addEventListener("input", () => go(Number(seek.value)));
  find("file").addEventListener("change", (event) => {
    const [file] = event.target.files;
    if (file) { audio.src = URL.createObjectURL(file); audio.load(); }
  });
  document.querySelector("main").addEventListener("click", (event) => {
    const word = event.target.closest(".w"), time = event.target.closest(".time");
    if (time) {
      event.preventDefault();
      history.replaceState(null, "", time.getAttribute("href"));
      go(Number(time.dataset.s));
    } else if (word && getSelection().isCollapsed) go(Number(word.dataset.s));
  });
  const linked = () => {
    const match = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
    if (!match) return;
    go(Number(match[1]));
    const next = order[Math.max(after(Number(match[1])) - 1, 0)];
    if (next !== undefined) reveal(words[next], true);
  };
  addEventListener("hashchange", linked);

  /* Search: accents and case don't matter, and a match may span words. */
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const index = [...document.querySelectorAll(".said")].map((paragraph) => {
    const own = [...paragraph.querySelectorAll(".w")], from = [];
    let text = "";
    for (const word of own) {
      const before = word.previousSibling;
      if (text && before && before.nodeType === Node.TEXT_NODE && /\s/.test(before.data)) text += " ";
      else if (text && !before) text += " ";
      from.push(text.length);
      text += plain(word.textContent);
    }
    return { paragraph, own, from, text };
  });
  let matches = [], current = -1;
  const mark = (name, match, is) => match.forEach((word) => word.classList.toggle(name, is));
  const look = () => {
    document.querySelectorAll(".found").forEach((word) => word.classList.remove("found", "found-now"));
    matches = [];
    current = -1;
    const wanted = plain(search.value).trim().replace(/\s+/g, " ");
    for (const { paragraph, own, from, text } of wanted ? index : []) {
      if (paragraph.hidden) continue;
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
        const match = own.filter((word, i) => from[i] < at + wanted.length && at < (from[i + 1] ?? Infinity)
          && at < from[i] + plain(word.textContent).length);
        mark("found", match, true);
        if (match.length) matches.push(match);
      }
    }
    count.textContent = !wanted ? "" : matches.length === 1 ? "1 match" : `${matches.length} matches`;
    find("previous").disabled = find("next").disabled = matches.length === 0;
  };
  const step = (by) => {
    if (!matches.length) return;
    if (current >= 0) mark("found-now", matches[current], false);
    current = (current + by + matches.length + (current < 0 && by < 0 ? 1 : 0)) % matches.length;
    mark("found-now", matches[current], true);
    count.textContent = `${current + 1} of ${matches.length}`;
    reveal(matches[current][0], true);
  };
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") { search.value = ""; look(); search.blur(); }
  });
  find("previous").addEventListener("click", () => step(-1));
  find("next").addEventListener("click", () => step(1));

  /* Toggles. */
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  const people = [...document.querySelectorAll(".people button")], marked = find("marked");
  const filter = () => {
    const chosen = people.filter(pressed).map((button) => button.dataset.speaker);
    for (const { paragraph } of index) {
      const other = chosen.length > 0 && !chosen.includes(paragraph.dataset.speaker);
      paragraph.hidden = other || (marked !== null && pressed(marked) && !paragraph.querySelector(".uncertain, .overlap"));
    }
    look();
  };
  document.querySelectorAll("button[aria-pressed]").forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(!pressed(button)));
    if (button !== follow) filter();
  }));
  find("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches, root = document.documentElement;
    const shown = root.dataset.theme ?? (dark ? "dark" : "light");
    root.dataset.theme = shown === "dark" ? "light" : "dark";
  });

  /* Keys. */
  const word = (by) => {
    const at = Math.min(Math.max(after((asked ?? audio.currentTime) + 0.001) - 1 + by, 0), order.length - 1);
    if (order.length) { go(starts[order[at]]); reveal(words[order[at]], false); }
  };
  const keys = {
    " ": toggle, k: toggle, ArrowLeft: () => go(audio.currentTime - 5), ArrowRight: () => go(audio.currentTime + 5),
    ",": () => word(-1), ".": () => word(1), "/": () => { search.focus(); search.select(); },
  };
  document.addEventListener("keydown", (event) => {
    const own = event.target.closest("input, select, button, summary, a");
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    if (own && (own.matches("input, select") || event.key === " ")) return;
    event.preventDefault();
    keys[event.key]();
  });

  if (audio.error || !audio.getAttribute("src")) find("trouble").hidden = false;
  show();
  linked();
})();
