"""python -m peftbench_example: prints where the suite is, for `bench run --suite`."""

from peftbench_example import SUITE

print(SUITE)
