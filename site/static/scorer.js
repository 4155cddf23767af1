// What a search shows first: lessons before the modules they make, and names that were asked for.
// A result is [document, title, anchor, description, score, file, kind].
const askedFor = () => (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
const places = /* written by the converter: document → part and kind */ {};
var Scorer = {
  score: result => {
    if (!result[3] && places[result[0]]) result[3] = places[result[0]];
    const [document_, title, , description, score] = result;
    if (!document_.startsWith("api/")) return score;
    const name = title.split(".").pop().toLowerCase();
    const whole = /^Python (function|class|exception)/.test(description || "");
    return whole && name === askedFor() ? score : score - 15;
  },
  objNameMatch: 11, objPartialMatch: 6, objPrio: {0: 15, 1: 5, 2: -5}, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
};
