// The live connection of an experiment's page.
//
// The database is the truth and the page knows the last generation it has of each run: it says so
// in every hello, and the server answers with all that is missing. A lost message, a lost
// connection or a restarted server therefore costs time, never data. What arrives is handed to the
// rest of the page once per frame, as the events e2l:generations, e2l:experiment, e2l:parts and
// e2l:known. The latter answers e2l:ask-known.
(() => {
  "use strict";
  const root = document.querySelector("[data-socket]");
  if (!root) return;
  const indicator = document.querySelector("[data-connection]");
  const cursors = JSON.parse(root.dataset.cursors);
  const FIRST_DELAY_MS = 250;
  const MAX_DELAY_MS = 5000;
  const HELLO_EVERY_MS = 5000;
  const ANSWER_WITHIN_MS = 10000;

  let socket = null;
  let failures = 0;
  let retryTimer = 0;
  let helloTimer = 0;
  let answerTimer = 0;
  let isOver = false;
  let isAsking = false;
  let wantsKnown = false;
  let rows = [];
  let frame = 0;

  function show(state, text) {
    indicator.dataset.connection = state;
    indicator.textContent = text;
  }

  function emit(name, detail) {
    document.dispatchEvent(new CustomEvent(name, { detail }));
  }

  function flush() {
    frame = 0;
    const batch = rows;
    rows = [];
    emit("e2l:generations", batch);
  }

  function accept(row) {
    const last = cursors[row.run] ?? -1;
    if (row.generation <= last) return; // sent again after a hello
    cursors[row.run] = row.generation;
    rows.push(row);
    if (!frame) frame = requestAnimationFrame(flush);
  }

  function hello() {
    clearTimeout(helloTimer);
    clearTimeout(answerTimer);
    if (socket.readyState !== WebSocket.OPEN) return;
    isAsking = true;
    socket.send(JSON.stringify({ type: "hello", cursors, known: wantsKnown }));
    // A connection that went dead without a word shows by the missing answer.
    const asked = socket;
    answerTimer = setTimeout(() => asked.close(), ANSWER_WITHIN_MS);
  }

  function answered() {
    isAsking = false;
    clearTimeout(answerTimer);
    clearTimeout(helloTimer);
    failures = 0;
    if (isOver) {
      show("complete", "");
      socket.close(1000);
      return;
    }
    show("live", "● Live");
    helloTimer = setTimeout(hello, HELLO_EVERY_MS);
  }

  function receive(event) {
    const message = JSON.parse(event.data);
    if (message.type === "generations") {
      message.data.forEach(accept);
    } else if (message.type === "experiment") {
      isOver = ["finished", "stopped", "failed", "published"].includes(message.data.state);
      emit("e2l:experiment", message.data);
      // Pushed, not asked for: make sure of the last generations before saying goodbye.
      if (isOver && !isAsking) hello();
    } else if (message.type === "parts") {
      emit("e2l:parts", message.data);
    } else if (message.type === "known") {
      wantsKnown = false;
      emit("e2l:known", message.data);
    } else if (message.type === "caught-up") {
      answered();
    }
  }

  function connect() {
    clearTimeout(retryTimer);
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const attempt = new WebSocket(`${scheme}//${location.host}${root.dataset.socket}`);
    socket = attempt;
    attempt.addEventListener("open", hello);
    attempt.addEventListener("message", receive);
    attempt.addEventListener("close", () => {
      if (attempt === socket) lost();
    });
  }

  async function lost() {
    isAsking = false;
    clearTimeout(helloTimer);
    clearTimeout(answerTimer);
    if (isOver) return;
    failures += 1;
    show("waiting", "○ Reconnecting…");
    if (failures > 2 && (await isRefused())) return;
    const delay = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (failures - 1));
    retryTimer = setTimeout(connect, delay * (0.5 + Math.random() / 2));
  }

  // A browser does not say why a WebSocket was refused: ask over HTTP.
  async function isRefused() {
    try {
      const response = await fetch(root.dataset.stateUrl);
      if (response.redirected) {
        show("signed-out", "Signed out: reload the page to sign in again.");
        return true;
      }
      if (response.status === 404) {
        show("signed-out", "This experiment was removed.");
        return true;
      }
    } catch {
      // the server cannot be reached: try again later
    }
    return false;
  }

  function retryNow() {
    if (!isOver && socket.readyState === WebSocket.CLOSED) {
      failures = Math.min(failures, 1);
      connect();
    }
  }

  document.addEventListener("e2l:ask-known", () => {
    wantsKnown = true;
    hello();
  });
  addEventListener("online", retryNow);
  addEventListener("pagehide", () => {
    isOver = true;
    socket.close();
  });
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    isOver = false; // back from the browser's page cache
    connect();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") retryNow();
  });

  show("waiting", "○ Connecting…");
  connect();
})();
