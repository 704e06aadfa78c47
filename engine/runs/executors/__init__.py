"""Workers in other processes, on this machine or on a cluster. In: batches of plans. Out: their outcomes.

| file             | its part                                                                   |
|------------------|----------------------------------------------------------------------------|
| `hello.py`       | what a worker is told at first, and what it answers                         |
| `session.py`     | one run on one worker: its own adapters, and the crew                       |
| `rights.py`      | what a worker may read by its own rights                                    |
| `kept_logs.py`   | a worker's log, until it travels                                            |
| `processes.py`   | workers as child processes of the run                                      |
| `pipe.py`        | the child's side: messages on its standard input, a socket                 |
| `dask.py`        | workers of a Dask cluster: who comes, who leaves                            |
| `dask_seat.py`   | one of them, as the dispatcher sees it                                      |
| `dask_worker.py` | its side: a session for each run                                            |
| `dask_client.py` | the connection to the scheduler, and Dask's errors                          |
| `open.py`        | from the settings to an executor                                           |
"""
