"""Workers in other processes, on this machine or on a cluster. In: batches of plans. Out: their outcomes.

| file           | its part                                                                     |
|----------------|------------------------------------------------------------------------------|
| `hello.py`     | what a worker is told at first, and what it answers                           |
| `session.py`   | one run on one worker: its own adapters, and the crew                         |
| `processes.py` | workers as child processes of the run                                        |
| `pipe.py`      | the child's side: frames on its standard input and output                    |
| `open.py`      | from the settings to an executor                                             |
"""
