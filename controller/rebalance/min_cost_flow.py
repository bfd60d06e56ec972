"""Algorithm `min-cost-flow`: the fewest moves that bring every pod within its bounds. Pure.

Copies are the flow, pods its nodes. A pod above its bounds is a source, one below them a sink, and the pods between
exchange what they can spare through one further node, the reserve. An edge costs the moves that it adds: 1 for a copy
that leaves its pod, 0 for one that has been moved already, -1 for one that returns. A flow along shortest paths has the
least cost at every step, hence the fewest moves (Ahuja, Magnanti and Orlin, "Network Flows", section 9.7).

At first every path that is a single move is a shortest one, so nearly all moves are found without a search.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import inf
from typing import ClassVar

from controller.rebalance.layout import Layout

_RESERVE = ""
"""Node of the pods within their bounds."""


Step = tuple[str, str, str]
"""Edge of a path: node, adapter, node; no adapter where one of them is the reserve."""


class MinCostFlow:
    """The fewest moves by number of adapters; a copy may leave a pod to make room for another."""

    name: ClassVar[str] = "min-cost-flow"
    weighted: ClassVar[bool] = False

    def improve(self, layout: Layout, pods: Sequence[str]) -> None:
        """Move copies between the pods of one group until no path of moves helps."""
        network = _Network(layout, pods)
        for set_reserve in (network.balance, network.only_relieve, network.only_fill):
            set_reserve()
            network.move_directly()
            while network.move_along_a_path():
                pass


class _Network:
    """Pods of one group, and the copies that are still to be given and taken."""

    def __init__(self, layout: Layout, pods: Sequence[str]) -> None:
        self._layout = layout
        self._pods = pods
        self._low = {pod: round(layout.bounds[pod].low) for pod in pods}
        self._high = {pod: round(layout.bounds[pod].high) for pod in pods}
        self._level = {pod: min(max(layout.counts[pod], self._low[pod]), self._high[pod]) for pod in pods}
        """Copies within the bounds."""
        self._surplus = {pod: layout.counts[pod] - self._level[pod] for pod in pods}
        """Copies that a pod has to give; those that it has to take if negative."""
        self._to_reserve = self._from_reserve = 0
        """Copies that the reserve takes and gives."""
        self._by_name: dict[int, Sequence[str]] = {}
        self._moved: set[str] = set()
        """Adapters with copies elsewhere than before."""

    # -- what the reserve settles

    def balance(self) -> None:
        """Let the reserve settle the difference of all surpluses."""
        total = sum(self._surplus.values())
        self._to_reserve, self._from_reserve = max(total, 0), max(-total, 0)

    def only_relieve(self) -> None:
        """Let the reserve take all that is left: some pods below their bounds cannot be reached."""
        self._to_reserve, self._from_reserve = sum(left for left in self._surplus.values() if left > 0), 0

    def only_fill(self) -> None:
        """Let the reserve give all that is missing: some pods above their bounds cannot be relieved."""
        self._to_reserve, self._from_reserve = 0, -sum(left for left in self._surplus.values() if left < 0)

    # -- single moves

    def move_directly(self) -> None:
        """Move copies directly: from pods above to pods below, then to the reserve, then from the reserve."""
        above = [pod for pod in self._pods if self._surplus[pod] > 0]
        below = [pod for pod in self._pods if self._surplus[pod] < 0]
        self._pair(above, below)
        if self._to_reserve:
            self._pair(above, [pod for pod in self._pods if self._surplus[pod] == 0])
        if self._from_reserve:
            self._pair([pod for pod in self._pods if self._surplus[pod] == 0], below)

    def _pair(self, givers: Sequence[str], takers: Sequence[str]) -> None:
        """Move copies from the fullest givers to the emptiest takers."""
        counts = self._layout.counts
        order = [(counts[pod], pod) for pod in takers]
        heapify(order)
        for giver in sorted(givers, key=lambda pod: (-counts[pod], pod)):
            refused: list[tuple[int, str]] = []
            while order and self._can_give(giver):
                _, taker = heappop(order)
                if not self._can_take(giver, taker):
                    continue
                copy = next((name for name in self._layout.on[giver] if self._layout.takes(name, taker)), None)
                if copy is None:
                    refused.append((counts[taker], taker))
                    continue
                self._settle(self._through_reserve(giver, copy, taker))
                heappush(order, (counts[taker], taker))
            for item in refused:
                heappush(order, item)

    def _can_give(self, pod: str) -> bool:
        return self._surplus[pod] > 0 or (self._from_reserve > 0 and self._level[pod] > self._low[pod])

    def _can_take(self, giver: str, pod: str) -> bool:
        if self._surplus[pod] < 0:
            return True
        return self._to_reserve > 0 and self._surplus[giver] > 0 and self._level[pod] < self._high[pod]

    def _through_reserve(self, giver: str, copy: str, taker: str) -> list[Step]:
        """Return the path of a single move, from its last edge to its first."""
        to_reserve = [(taker, "", _RESERVE)] if self._surplus[taker] >= 0 else []
        from_reserve = [(_RESERVE, "", giver)] if self._surplus[giver] <= 0 else []
        return [*to_reserve, (giver, copy, taker), *from_reserve]

    # -- paths of moves

    def move_along_a_path(self) -> bool:
        """Move copies along a shortest path; return whether there is one."""
        distances, edges = self._shortest_paths()
        ends = [(distances[pod], pod) for pod in self._pods if self._surplus[pod] < 0 and pod in distances]
        if self._to_reserve and _RESERVE in distances:
            ends.append((distances[_RESERVE], _RESERVE))
        if not ends:
            return False
        node = min(ends)[1]
        steps: list[Step] = []
        while node in edges:
            steps.append(edges[node])
            node = edges[node][0]
        self._settle(steps)
        return True

    def _settle(self, steps: Sequence[Step]) -> None:
        """Hand the copies over, from the end of the path to its beginning, and count what is settled."""
        layout = self._layout
        for source, adapter, target in steps:
            if source == _RESERVE:
                self._level[target] -= 1
            elif target == _RESERVE:
                self._level[source] += 1
            else:
                layout.hand_over(adapter, source, target)
                before = layout.fleet.adapters[adapter].pods
                (self._moved.discard if layout.holders[adapter] == before else self._moved.add)(adapter)
        first, last = steps[-1][0], steps[0][2]
        if first == _RESERVE:
            self._from_reserve -= 1
        else:
            self._surplus[first] -= 1
        if last == _RESERVE:
            self._to_reserve -= 1
        else:
            self._surplus[last] += 1

    def _shortest_paths(self) -> tuple[dict[str, int], dict[str, Step]]:
        """Return the cost of reaching each node, and the last edge of the path to it (Bellman-Ford with a queue)."""
        distances = {pod: 0 for pod in self._pods if self._surplus[pod] > 0}
        if self._from_reserve:
            distances[_RESERVE] = 0
        edges: dict[str, Step] = {}
        queue = deque(distances)
        waiting = set(queue)
        while queue:
            node = queue.popleft()
            waiting.discard(node)
            reached = distances[node]
            for target, cost, adapter in self._edges(node):
                if reached + cost < distances.get(target, inf):
                    distances[target] = reached + cost
                    edges[target] = (node, adapter, target)
                    if target not in waiting:
                        waiting.add(target)
                        queue.append(target)
        return distances, edges

    def _edges(self, node: str) -> Iterator[tuple[str, int, str]]:
        """Yield (node, cost, adapter) of the edges from a node."""
        if node == _RESERVE:
            yield from ((pod, 0, "") for pod in self._pods if self._level[pod] > self._low[pod])
            return
        if self._level[node] < self._high[node]:
            yield _RESERVE, 0, ""
        fleet, holders = self._layout.fleet, self._layout.holders
        unmoved: dict[int, list[str]] = {}
        for adapter in self._layout.on[node]:
            allowed, before = fleet.adapters[adapter].allowed, fleet.adapters[adapter].pods
            if adapter not in self._moved:
                unmoved.setdefault(id(allowed), []).append(adapter)
                continue
            for pod in self._allowed(allowed):
                if pod not in holders[adapter]:
                    yield pod, (pod not in before) - (node not in before), adapter
        for adapters in unmoved.values():  # all that matters of these is that one of them can be moved
            for pod in self._allowed(fleet.adapters[adapters[0]].allowed):
                copy = next((adapter for adapter in adapters if pod not in holders[adapter]), None)
                if copy is not None:
                    yield pod, 1, copy

    def _allowed(self, pods: frozenset[str]) -> Sequence[str]:
        """Return the pods of a set that exist, by name; kept, since many adapters share one set."""
        kept = self._by_name.get(id(pods))
        if kept is None:
            kept = self._by_name[id(pods)] = sorted(pod for pod in pods if pod in self._level)
        return kept
