// [data-probe-socket]: the part of a page that shows a simulation on demand, or lies in the part
// [data-probe-part]. The server says by WebSocket when there is something new, and the part is asked
// for again; a new connection begins with such a word, so that nothing is missed while there was
// none. Between two of them the elapsed time and, where only time tells how far a simulation is, the
// bar go on by themselves.
(() => {
  "use strict";
  const FIRST_DELAY_MS = 250;
  const MAX_DELAY_MS = 5000;
  const TICK_MS = 250;
  const followed = new Map(); // by address
  let turn = Promise.resolve(); // requests follow each other: two may be about the same part

  class Follower {
    constructor(address) {
      this.address = address;
      this.failures = 0;
      this.isAsking = false;
      this.isStale = false;
      this.connect();
    }

    get part() {
      return document.querySelector(`[data-probe-socket="${this.address}"]`);
    }

    connect() {
      const scheme = location.protocol === "https:" ? "wss:" : "ws:";
      this.socket = new WebSocket(`${scheme}//${location.host}${this.address}`);
      this.socket.addEventListener("message", () => {
        this.failures = 0;
        this.refresh();
      });
      this.socket.addEventListener("close", () => this.lost());
    }

    lost() {
      if (!this.part) return;
      this.failures += 1;
      const delay = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.failures - 1));
      this.timer = setTimeout(() => this.connect(), delay * (0.5 + Math.random() / 2));
    }

    // One request at a time: what is announced meanwhile is in the answer to the next.
    async refresh() {
      this.isStale = true;
      if (this.isAsking) return;
      this.isAsking = true;
      while (this.isStale && this.part) {
        this.isStale = false;
        turn = turn.then(() => this.ask());
        await turn;
      }
      this.isAsking = false;
      if (!this.part) this.end();
    }

    async ask() {
      const { part } = this;
      if (!part) return;
      const target = document.getElementById(part.dataset.probePart) ?? part;
      try {
        await htmx.ajax("GET", part.dataset.probeUrl, { target, swap: "outerHTML" });
      } catch {
        // The server cannot be reached: so the connection is lost as well, and comes again.
      }
    }

    end() {
      followed.delete(this.address);
      clearTimeout(this.timer);
      this.socket.close();
    }
  }

  function look() {
    for (const part of document.querySelectorAll("[data-probe-socket]")) {
      const address = part.dataset.probeSocket;
      if (!followed.has(address)) followed.set(address, new Follower(address));
    }
    for (const follower of [...followed.values()]) {
      if (!follower.part) follower.end();
    }
  }

  document.addEventListener("htmx:afterSettle", look);
  document.addEventListener("DOMContentLoaded", look);

  setInterval(() => {
    for (const shown of document.querySelectorAll("[data-probe-socket] [data-elapsed-s]")) {
      shown.began ??= performance.now() - 1000 * Number(shown.dataset.elapsedS);
      const elapsed = (performance.now() - shown.began) / 1000;
      shown.textContent = e2l.formatDuration(elapsed);
      const bar = shown.closest("[data-probe-socket]").querySelector("progress[data-estimate-s]");
      if (bar) bar.value = Math.min(95, (100 * elapsed) / Number(bar.dataset.estimateS));
    }
  }, TICK_MS);
})();
