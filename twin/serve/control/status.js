"use strict";
// The dashboard of `twin serve`: polls the control API, and sends changes to it with the administrator's token.

const MOST = 60;  // rows and columns of the matrix
const byId = id => document.getElementById(id);
const time = s => [s / 3600, s / 60 % 60, s % 60].map(n => String(Math.floor(n)).padStart(2, "0")).join(":");
const short = name => name.slice(name.indexOf("/") + 1);
let paused = false, kinds = [];

function make(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

const cell = (text, kind) => make("td", {textContent: text ?? "", className: kind ?? ""});
const tile = (label, value) => make("div", {}, make("dt", {textContent: label}), make("dd", {textContent: value}));

// ---- Changes -----------------------------------------------------------------------------------------------------

const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) { sessionStorage.token = given; history.replaceState(null, "", location.pathname); }
byId("token").value = sessionStorage.token || "";
byId("token").addEventListener("change", () => { sessionStorage.token = byId("token").value; });

async function send(method, path, body) {
  const headers = {"content-type": "application/json"};
  if (sessionStorage.token) headers.authorization = `Bearer ${sessionStorage.token}`;
  const response = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
  const answer = await response.json();
  const hint = [401, 403].includes(response.status) ? ": changes need the token of the kubeconfig" : "";
  byId("answer").textContent = response.ok ? "" : answer.message + hint;
  await refresh();
  return answer;
}

byId("pause").addEventListener("click", () => send("POST", "/twin/v1/clock", {paused: !paused}));
byId("set-speed").addEventListener("click", () => send("POST", "/twin/v1/clock", {speed: +byId("speed").value}));
for (const button of document.querySelectorAll("[data-step]"))
  button.addEventListener("click", () => send("POST", "/twin/v1/clock", {step: button.dataset.step}));

byId("inject").addEventListener("submit", event => {
  event.preventDefault();
  const kind = kinds.find(each => each.kind === byId("kind").value), body = {kind: kind.kind};
  if (kind.lasting) { if (byId("for").value) body.for = byId("for").value; } else body.at = "0s";
  const target = byId("target").value;
  if (target === "one") body.pods = {count: 1};
  else if (target === "half") body.pods = {fraction: 0.5};
  else if (target === "node") body.nodes = {count: 1};
  else if (target) body.pods = {names: [target]};
  send("POST", "/twin/v1/faults", body);
});

async function listKinds() {
  kinds = await (await fetch("/twin/v1/faults")).json();
  const groups = new Map();
  for (const kind of kinds) groups.set(kind.on, [...groups.get(kind.on) || [], kind]);
  byId("kind").replaceChildren(...[...groups].map(([label, members]) =>
    make("optgroup", {label}, ...members.map(each => make("option", {value: each.kind, textContent: each.kind})))));
  const choose = () => {
    const kind = kinds.find(each => each.kind === byId("kind").value);
    byId("summary").textContent = kind.summary;
    byId("for").disabled = !kind.lasting;
  };
  byId("kind").addEventListener("change", choose);
  choose();
}

// ---- State -------------------------------------------------------------------------------------------------------

function draw(world) {
  paused = world.paused;
  document.title = byId("name").textContent = world.name;
  byId("when").textContent = `${time(world.seconds)} since the start, ${paused ? "paused" : "speed " + world.speed}, ` +
    `scenario of ${time(world.scenarioSeconds)}` + (world.leading.length ? `, ${world.leading.join(", ")} leads` : "");
  byId("pause").textContent = paused ? "Resume" : "Pause";
  if (document.activeElement !== byId("speed")) byId("speed").value = world.speed;
  const {total, Running = 0, ...others} = world.adapters;
  byId("tiles").replaceChildren(
    tile("adapters running", `${Running} of ${total}`),
    ...Object.entries(others).map(([phase, n]) => tile(`adapters ${phase}`, n)),
    tile("pods ready", `${world.pods.ready} of ${world.pods.total}`),
    ...Object.entries(world.loads).map(([what, n]) => tile(what, n)),
    ...Object.entries(world.apiWrites).map(([what, n]) => tile(`API ${what}`, n)));
  byId("faults").replaceChildren(...world.faults.map(activeFault));
  byId("adapters").replaceChildren(...world.adapterList.map(a => make("tr", {},
    cell(a.name), cell(a.phase, a.phase === "Running" ? "yes" : a.phase === "Failed" ? "no" : ""),
    cell(`${a.ready ?? 0}/${a.desired ?? "?"}`), cell(a.message))));
  byId("pods").replaceChildren(...world.podList.map(p => make("tr", {},
    cell(p.name), cell(p.ready ? "yes" : "no", p.ready ? "yes" : "no"), cell(p.node),
    cell(p.address ? `${p.ip} at ${p.address}` : p.ip), cell(p.adapters.join(" ")))));
  drawMatrix(world);
  offerTargets(world.podList);
}

function activeFault(fault) {
  const lift = make("button", {type: "button", textContent: "Lift"});
  lift.addEventListener("click", () => send("DELETE", `/twin/v1/faults/${fault.number}`));
  const targets = fault.targets.map(short).join(", ") || "cluster";
  const textContent = `${fault.kind} since ${time(fault.since)}: ${targets}`;
  return make("div", {className: "active"}, make("span", {textContent}), lift);
}

function drawMatrix(world) {
  const pods = world.podList.filter(pod => pod.address).slice(0, MOST);  // pods with an engine
  const loaded = new Map(pods.map(pod => [pod.name, new Set(pod.adapters)]));
  const heads = pods.map(pod => make("th", {textContent: pod.name.slice(-12), title: pod.name, scope: "col"}));
  byId("matrix-pods").replaceChildren(make("th"), ...heads);
  byId("matrix").replaceChildren(...world.adapterList.slice(0, MOST).map(adapter => {
    const instances = new Set(adapter.instances.map(short));
    const cells = pods.map(pod => {
      const [held, listed] = [loaded.get(pod.name).has(short(adapter.name)), instances.has(short(pod.name))];
      const kind = held && listed ? "loaded" : held ? "extra" : listed ? "missing" : "";
      return make("td", {className: kind, title: kind && `${adapter.name} on ${pod.name}: ${kind}`});
    });
    return make("tr", {}, make("th", {textContent: short(adapter.name), scope: "row"}), ...cells);
  }));
}

function offerTargets(pods) {
  const select = byId("target"), former = select.value;
  const names = pods.map(pod => make("option", {value: pod.name, textContent: short(pod.name)}));
  const fixed = [["", "default targets"], ["one", "one pod"], ["half", "half of the pods"], ["node", "one node"]];
  select.replaceChildren(...fixed.map(([value, textContent]) => make("option", {value, textContent})), ...names);
  select.value = former;
  if (select.selectedIndex < 0) select.value = "";
}

const SENTENCES = {
  event: line => `${line.type} ${line.reason} ${line.object}: ${line.note}`,
  fault: line => `fault ${line.fault} ${line.event}: ${(line.targets || []).map(short).join(", ") || "cluster"}`,
  controller: line => `${line.by} ${line.event}`,
  log: line => `${line.by} ${line.level}: ${line.text}`,
};

async function listEvents() {
  const text = await (await fetch("/twin/v1/events?tail=400")).text();
  const lines = text.split("\n").filter(Boolean).map(line => JSON.parse(line)).filter(line => SENTENCES[line.kind]);
  byId("events").replaceChildren(...lines.slice(-80).reverse().map(line =>
    make("p", {}, make("time", {textContent: time(line.t)}), SENTENCES[line.kind](line))));
}

async function drawTimeline() {
  const response = await fetch("/twin/v1/figures/phases");
  if (!response.ok) return;
  const box = byId("timeline"), latest = box.scrollLeft + box.clientWidth >= box.scrollWidth - 4;
  box.innerHTML = await response.text();
  if (latest) box.scrollLeft = box.scrollWidth;  // a phone shows the newest part
}

async function refresh() {
  try { draw(await (await fetch("/twin/v1/world")).json()); }
  catch (error) { byId("when").textContent = "twin serve does not respond: " + error; }
}

async function every(seconds, act) {
  for (;;) {
    await act().catch(() => {});
    await new Promise(done => setTimeout(done, 1000 * seconds));
  }
}

listKinds();
every(2, refresh);
every(3, listEvents);
every(5, drawTimeline);
