// How numbers, times and rules are written; the same as the server's template filters.
(() => {
  "use strict";

  // Five significant digits: −14.587, 1.2346×10⁶, “none” for minus infinity.
  function formatFitness(value) {
    if (value === null || value === undefined) return "none";
    if (value === 0) return "0";
    let [digits, exponent] = value.toExponential(4).split("e").map(Number);
    if (exponent >= -3 && exponent < 5) {
      return String(Number(value.toPrecision(5))).replace("-", "−");
    }
    const superscript = String(exponent)
      .replace("-", "⁻")
      .replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
    return `${digits}×10${superscript}`.replace("-", "−");
  }

  // The two largest units: 42 s, 3 min 5 s, 2 h 10 min, 3 d 4 h.
  function formatDuration(seconds) {
    const total = Math.max(0, Math.round(seconds));
    for (const [size, unit, smaller, smallerUnit] of [
      [86400, "d", 3600, "h"],
      [3600, "h", 60, "min"],
      [60, "min", 1, "s"],
    ]) {
      if (total >= size) {
        const whole = Math.floor(total / size);
        const rest = Math.floor((total % size) / smaller);
        return rest ? `${whole} ${unit} ${rest} ${smallerUnit}` : `${whole} ${unit}`;
      }
    }
    return `${total} s`;
  }

  // Presentation MathML from the server as an element of this document.
  function mathElement(mathml) {
    return new DOMParser().parseFromString(mathml, "text/html").querySelector("math");
  }

  window.e2l = { formatFitness, formatDuration, mathElement };
})();
