"""What `coldpress run` is made of: inputs, workloads, traces, the runner, the report.

The harness judges a pipeline from outside: it knows by its own hashes, taken before anything is
stored, what every slot should hold.
"""

from __future__ import annotations
