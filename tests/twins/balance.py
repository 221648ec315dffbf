"""Weighted round robin in plain Python, earliest deadline first: oracle and measure of `_core.balance`."""

import heapq


class RoundRobin:
    """Each pick takes the smallest deadline, the first named of equal ones, and moves it on by 1 / weight."""

    def __init__(self, weights):
        self.steps = [1.0 / weight for weight in weights]
        self.heap = [(step, index) for index, step in enumerate(self.steps)]
        heapq.heapify(self.heap)

    def pick(self, is_up):
        """The index of the next target of those for which `is_up[index]` holds, or None."""
        if not any(is_up):
            return None
        while True:
            deadline, index = self.heap[0]
            heapq.heapreplace(self.heap, (deadline + self.steps[index], index))
            if is_up[index]:
                return index
