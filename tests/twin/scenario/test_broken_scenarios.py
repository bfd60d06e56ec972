"""Each error of a scenario file has its position and the allowed values."""

from typing import Any

import pytest

FOUR_LINES = "name: n\nduration: 10m\nmanifests:\n  - base.yaml\n"
TEMPLATE = """\
adapters:
  - name: sql-{i}
    count: 2
    spec: {podSelector: {matchLabels: {app: qwen}}, artifactURL: "hf://a/b"}
"""

# What is put behind the four lines (so its first line is line 5), where it is wrong, and what is said.
BEHIND: list[tuple[str, str, str]] = [
    ("sead: 1", "5:1: sead", 'unknown field "sead"; did you mean "seed"?'),
    ("Duration: 1m", "5:1: Duration", 'did you mean "duration"?'),
    ("traffic: {rate: 20}", "5:17: traffic.rate", "20 is not a rate; allowed: a rate such as 20/s"),
    ("seed: soon", "5:7: seed", 'is "soon"; allowed: a whole number'),
    ("seed: -1", "5:7: seed", "allowed: at least 0"),
    ("seed: 1.5", "5:7: seed", "is 1.5; allowed: a whole number"),
    ("seed: true", "5:7: seed", "is true; allowed: a whole number"),
    ("description: [a]", "5:14: description", "is a list; allowed: a string"),
    ("name: twice", "5:1: name", 'the key "name" is duplicated'),
    ("cluster: {nodes: {count: 0}}", "5:26: cluster.nodes.count", "is 0; allowed: at least 1"),
    ("cluster: {nodes: {cuont: 2}}", "5:19: cluster.nodes.cuont", 'did you mean "count"?'),
    ("cluster: {nodes: {gpus: 2}}", "5:18: cluster.nodes", '"count" is missing'),
    ("cluster: {nodes: []}", "5:18: cluster.nodes", "is empty"),
    ("cluster: {nodes: [{name: A}]}", "5:26: cluster.nodes.0.name", 'is "A"'),
    ("cluster: {nodes: many}", "5:18: cluster.nodes", "allowed: a mapping"),
    ("cluster: {nodes: [{name: a}, {name: a}]}", "5:37: cluster.nodes.1.name", "already exists"),
    ("cluster: {engines: {qwn: {}}}", "5:21: cluster.engines.qwn", 'did you mean "qwen"?'),
    ("cluster: {engines: {qwen: {startup: 5}}}", "5:37: cluster.engines.qwen.startup", 'did you mean "5s"?'),
    ("cluster: {engines: {qwen: {startup: -5s}}}", "5:37: cluster.engines.qwen.startup", "is negative"),
    ("cluster: {engines: {qwen: {startup: .nan}}}", "5:37: cluster.engines.qwen.startup", "the unit is missing"),
    ("cluster: {engines: {qwen: {startup: {normal: 1s}}}}", "5:38: cluster.engines.qwen.startup.normal", "lognormal"),
    (
        "cluster: {engines: {qwen: {load: {lognormal: {median: 6s, p95: 2s}}}}}",
        "5:64: cluster.engines.qwen.load.lognormal.p95",
        "p95 is below the median",
    ),
    (
        "cluster: {engines: {qwen: {load: {lognormal: {median: 6s, p59: 9s}}}}}",
        "5:59: cluster.engines.qwen.load.lognormal.p59",
        'did you mean "p95"?',
    ),
    ("cluster: {api: {latency: {uniform: [9ms, 2ms]}}}", "5:36: cluster.api.latency.uniform", "below the lowest"),
    ("cluster: {api: {latency: {uniform: [9ms, 2]}}}", "5:42: cluster.api.latency.uniform.1", 'did you mean "2s"?'),
    ("cluster: {api: {latency: {empirical: no.csv}}}", "5:38: cluster.api.latency.empirical", 'cannot read "no.csv"'),
    ("cluster: {api: {latency: {}}}", "5:26: cluster.api.latency", "has 0 entries"),
    ("cluster: {artifacts: {bandwidth: 2Gb}}", "5:34: cluster.artifacts.bandwidth", "such as 2Gbit/s"),
    ("cluster: {artifacts: {size: {default: 80}}}", "5:39: cluster.artifacts.size.default", "such as 80MiB"),
    ("controller: {replicas: 0}", "5:24: controller.replicas", "at least 1"),
    ("controller: {polciy: random}", "5:14: controller.polciy", 'did you mean "policy"?'),
    ("controller: {policy: binpack}", "5:22: controller.policy", 'did you mean "bin-pack"?'),
    ("controller: {retry: {base: 10m}}", "5:21: controller.retry", "the cap is below the base"),
    ("controller: {retry: {factor: .inf}}", "5:30: controller.retry.factor", "is inf; allowed: a number"),
    ("controller: {retry: {factor: 0.5}}", "5:30: controller.retry.factor", "at least 1"),
    ("controller: {stable_for: 5 minutes}", "5:26: controller.stable_for", "is not a duration"),
    ("controller: {lease: {renew: 20s}}", "5:29: controller.lease.renew", "retry < renew < duration"),
    ("controller:\n  lease: 5s", "6:10: controller.lease", 'is "5s"; allowed: a mapping'),
    ("adapters: {name: a}", "5:11: adapters", "is a mapping; allowed: a list"),
    ("adapters:\n  - {name: a}", "6:5: adapters.0", '"spec" is missing'),
    (TEMPLATE.replace("-{i}", ""), "6:11: adapters.0.name", 'cannot all have the name "sql"'),
    (TEMPLATE.replace("{i}", "{n}"), "6:11: adapters.0.name", "allowed: {i}"),
    (TEMPLATE.replace("sql", "sql.x"), "6:11: adapters.0.name", ""),
    (TEMPLATE + "    arrive: {poison: 4/min}", "9:14: adapters.0.arrive.poison", 'did you mean "poisson"?'),
    (TEMPLATE + "    arrive: {poisson: 4}", "9:23: adapters.0.arrive.poisson", "such as 20/s, 4/min"),
    (TEMPLATE + "    arrive: {poisson: 4/min, at: 1s}", "9:13: adapters.0.arrive", "has both at and poisson"),
    (TEMPLATE + "    arrive: now", "9:13: adapters.0.arrive", "is not a mapping"),
    (TEMPLATE + "    leave: nevr", "9:12: adapters.0.leave", 'did you mean "never"?'),
    (TEMPLATE + "    leave: {afer: 5m}", "9:13: adapters.0.leave.afer", 'did you mean "after"?'),
    (TEMPLATE + "    leave: {after: null}", "9:12: adapters.0.leave", "is empty; allowed: after, at"),
    (TEMPLATE + "    popularity: {zipf: -1}", "9:24: adapters.0.popularity.zipf", "is -1; allowed: at least 0"),
    (TEMPLATE.replace("artifactURL", "artifactUrl"), "8:11: adapters.0.spec.artifactURL", "equired"),
    ("faults:\n  - {kind: conection-refused}", "6:12: faults.0.kind", 'did you mean "connection-refused"?'),
    ("faults:\n  - {kind: partition}", "6:5: faults.0", "names neither pods nor nodes"),
    ("faults:\n  - {from: 0s}", "6:5: faults.0", '"kind" is missing'),
    ("faults:\n  - {kind: slow, at: 5m}", "6:18: faults.0.at", 'unknown field "at"'),
    ("faults:\n  - {kind: slow, from: 5m, until: 5m}", "6:35: faults.0.until", "allowed: later than 5m"),
    ("faults:\n  - {kind: slow, from: 20m}", "6:24: faults.0.from", "before the run ends, 10m"),
    ("faults:\n  - {kind: slow, probability: 1.5}", "6:31: faults.0.probability", "at most 1"),
    ("faults:\n  - {kind: slow, callers: [trafic]}", "6:28: faults.0.callers.0", 'is "trafic"'),
    ("faults:\n  - {kind: slow, callers: [users]}", "6:28: faults.0.callers.0", "allowed: controller, probes, traffic"),
    ("faults:\n  - {kind: slow, callers: []}", "6:27: faults.0.callers", "at least 1"),
    ("faults:\n  - {kind: slow, pods: some}", "6:24: faults.0.pods", "allowed: all, {fraction: 0.25}"),
    ("faults:\n  - {kind: slow, pods: {fraction: 0}}", "6:35: faults.0.pods.fraction", "more than 0"),
    ("faults:\n  - {kind: slow, pods: {count: 1, fraction: 0.5}}", "6:", "selects twice"),
    ("faults:\n  - {kind: slow, pods: {}}", "6:24: faults.0.pods", "selects nothing"),
    ("faults:\n  - {kind: slow, pods: {names: [lama-0]}}", "6:33: faults.0.pods.names.0", "there are: qwen"),
    ("faults:\n  - {kind: slow, pods: {names: [qwne-*]}}", "6:33: faults.0.pods.names.0", 'did you mean "qwen-*"?'),
    ("faults:\n  - {kind: slow, pods: {of: qwne}}", "6:29: faults.0.pods.of", 'did you mean "qwen"?'),
    ("faults:\n  - {kind: slow, pods: {selector: {app: x}}}", "6:35: faults.0.pods.selector", "no pod"),
    ("faults:\n  - {kind: pod-kill, at: 1m}", "6:5: faults.0", '"pods" is missing'),
    ("faults:\n  - {kind: pod-kill, pods: all}", "6:5: faults.0", "has no time; allowed: one of `at` and `every`"),
    ("faults:\n  - {kind: pod-kill, pods: all, at: 1m, every: 1m}", "6:5: faults.0", "both `at` and `every`"),
    ("faults:\n  - {kind: pod-kill, pods: all, at: 1m, until: 2m}", "6:5: faults.0", "go with `every`"),
    ("faults:\n  - {kind: pod-kill, pods: all, at: 10m}", "6:37: faults.0.at", "after the end of the run"),
    ("faults:\n  - {kind: rollout, at: 1m, deployment: q}", "6:41: faults.0.deployment", "not found in the manifests"),
    ("faults:\n  - {kind: node-down, nodes: {names: [node-7]}}", "6:39: faults.0.nodes.names.0", "node-0"),
    ("faults:\n  - {kind: node-down, nodes: {count: 9}}", "6:38: faults.0.nodes.count", "at most 1"),
    ("faults:\n  - {kind: http-error, status: 200}", "6:32: faults.0.status", "at least 400"),
    ("faults:\n  - {kind: controller-crash}", "6:5: faults.0", "one of at, before_write, after_write"),
    ("faults:\n  - {kind: controller-crash, at: 1m, replica: 1}", "6:47: faults.0.replica", "replica 1 does not exist"),
    ("expect: adapters.running == 4", "5:9: expect", "allowed: a list"),
    ("expect:\n  - adapters.runing == 4", "6:5: expect.0", 'did you mean "adapters.running"?'),
    ("expect:\n  - adapters.running = 4", "6:5: expect.0", "is not an expectation"),
    ("expect:\n  - adapters.running == all", "6:5: expect.0", '"all" is not a number'),
    ("expect:\n  - traffic.okay > 4", "6:5: expect.0", 'did you mean "traffic.ok"?'),
    ("vary: {controller.polcy: [random]}", "5:27: vary.controller.polcy.0", 'did you mean "policy"?'),
    (
        "vary: {controller.max_requests_per_pod: [4, none]}",
        "5:45: vary.controller.max_requests_per_pod.1",
        "a whole number",
    ),
    ("vary: {controller.max_requests_per_pod: []}", "5:41: vary.controller.max_requests_per_pod", "is empty"),
    ("a:\n\t- b", "6:1", "tabs are not allowed for indentation"),
    ("a: [1", "", "invalid YAML"),
    ("a: *nowhere", "5:4", "undefined alias"),
    ("a: &x [*x]", "5:4: a.0", "an anchor contains itself"),
    ("a: !python/object:os.system x", "5:4: a", "is not supported"),
    ("--- {}", "5:", "contains a second YAML document"),
]


@pytest.mark.parametrize(
    ("text", "place", "message"), BEHIND, ids=[text.strip().split("\n")[-1][:60] for text, *_ in BEHIND]
)
def test_errors_have_their_position(folder: Any, text: str, place: str, message: str) -> None:
    lines = folder.errors(FOUR_LINES + text + "\n")
    assert any(line.startswith(f"s.yaml:{place}") and message in line for line in lines), lines


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "s.yaml: is empty"),
        (b"# nothing but a remark\n", "s.yaml: is empty"),
        (b"\xff\xfe\x00", "s.yaml: is not UTF-8"),
        (b"- a\n- b\n", "s.yaml:1:1: is not a mapping"),
        (b"just text\n", "s.yaml:1:1: is not a mapping"),
        (b"apiVersion: v1\nkind: Pod\n", "is a Kubernetes manifest, not a scenario"),
        (b"name: x\x07\n", "s.yaml:1:1: invalid YAML"),
        (b"name: n\nduration: 0s\n", "s.yaml:2:11: duration: must be longer than 0"),
        (b"name: n\n", "nothing to run"),
        (b"name: a b\n", 's.yaml:1:7: name: is "a b"'),
        (b"duration: 5m\n", '"name" is missing'),
        (b"name: n\nmanifests: base.yaml\n", 's.yaml:2:12: manifests: is "base.yaml"; allowed: a list'),
        (b"name: n\nmanifests: [bse.yaml]\n", 's.yaml:2:13: manifests.0: file "bse.yaml" not found'),
        (b"name: n\nmanifests: [bse.yaml]\n", 'did you mean "base.yaml"?'),
        (b"name: n\nmanifests: ['x*.yaml']\n", 's.yaml:2:13: manifests.0: no file matches "x*.yaml"'),
        (b"name: n\nmanifests: [.]\n", 'manifests.0: "." is a folder'),
        (b"a: &a [1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n"
         b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n",
         "aliases repeat more than 20000 values"),
        (b"[" * 600, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_scenario_is_an_error_in_one_line(folder: Any, content: bytes, message: str) -> None:
    assert any(message in line for line in folder.errors(content))


def test_a_missing_file_and_a_folder_are_errors(folder: Any) -> None:
    assert folder.errors_of("absent.yaml") == ["File not found: absent.yaml"]
    assert folder.errors_of(".") == [".: is a folder; allowed: a YAML file"]


def test_all_errors_of_a_file_are_reported_at_once(folder: Any) -> None:
    lines = folder.errors(
        FOUR_LINES
        + "sead: 1\ncontroller: {max_concurrent_reconciles: 0}\nfaults: [{kind: slow, factor: 0}, {kind: x}]\n"
    )
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("controller.retry.bse", "2s", '--set: controller.retry.bse: unknown field "bse"; did you mean "base"?'),
        ("contrller.retry.base", "2s", '--set: contrller: unknown field "contrller"; did you mean "controller"?'),
        (
            "controller.max_requests_per_pod",
            "many",
            '--set: controller.max_requests_per_pod: is "many"; allowed: a whole number',
        ),
        ("faults.0.kind", "slow", '--set: faults.0.kind: "0" is not an index of a list of 0'),
        ("manifests.x", "a", '--set: manifests.x: "x" is not an index of a list of 1; did you mean'),
        ("name.x", "a", '--set: name.x: "name" is a plain value and has no fields'),
        ("controller..x", "a", "--set: controller..x: is not a path"),
        ("seed", "[1", "--set: seed: invalid YAML"),
    ],
)
def test_an_invalid_override_is_reported_as_such(folder: Any, path: str, value: str, message: str) -> None:
    text = FOUR_LINES + ("faults: []\n" if path.startswith("faults") else "")
    assert any(
        line.startswith(message.split("; did you mean")[0]) for line in folder.errors(text, overrides={path: value})
    )
