"""`python -m geodl.bench ROW FILE`: one row on the CPU, in this process only, as JSON.

`geodl bench` is the command to use.
"""

import sys

from geodl.bench import ROWS, save
from geodl.bench.harness import measured

if __name__ == "__main__":
    row, file = sys.argv[1:]
    save(list(measured(row, ROWS[row]())), file)
