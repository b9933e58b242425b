"""A server on this machine that answers wandb's client (0.31) as wandb's own does, for one project of finished runs.

A run's history comes in two parts, as there: the first rows in a Parquet file, which has a column for every key, and
those that are in no file yet as JSON, in which NaN is the string "NaN".
"""

import io
import json
import math
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq

VIEWER = {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
NOTHING = dict.fromkeys(("sweepName", "jobType", "group", "commit", "description", "notes"))


def server_of(runs):
    """A server of `runs`: a config and rows by the id of a run. It serves when `serve_forever` is called."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.runs = runs
    return server


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(json.dumps({"data": self._data(json.loads(asked))} if self.path == "/graphql" else {}).encode())

    def do_GET(self):
        run_id = self.path.strip("/").removesuffix(".parquet")
        rows = self.server.runs[run_id][1][: self._num_filed(run_id)]
        keys = dict.fromkeys(key for row in rows for key in row)
        file = io.BytesIO()
        pq.write_table(pa.table({key: [row.get(key) for row in rows] for key in keys}), file)
        self._send(file.getvalue())

    def log_message(self, *arguments):
        """Nothing."""

    def _data(self, asked):
        query, variables = asked["query"], asked.get("variables", {})
        if "viewer" in query:
            return {"viewer": VIEWER}
        run_id = variables.get("name") or variables.get("runName") or variables.get("run")
        if run_id not in self.server.runs:
            return {"project": {"run": None}}
        config, rows = self.server.runs[run_id]
        live = [json.dumps({key: _word(value) for key, value in row.items()}) for row in rows]
        filed = self._num_filed(run_id)
        if "history(" in query:
            return {"project": {"run": {"history": live[max(filed, variables["minStep"]) : variables["maxStep"]]}}}
        if "parquetHistory(" in query:
            port = self.server.server_port
            files = {
                "parquetUrls": [f"http://127.0.0.1:{port}/{run_id}.parquet"],
                "liveData": list(map(json.loads, live))[filed:],
            }
            return {"project": {"run": {"parquetHistory": files}}}
        known = {
            "id": run_id,
            "name": run_id,
            "displayName": f"shown as {run_id}",
            "projectId": "7",
            "state": "finished",
        }
        times = {"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00"}
        metrics = {"summaryMetrics": "{}", "systemMetrics": "{}", "historyLineCount": len(rows)}
        wrapped = json.dumps({key: {"desc": None, "value": value} for key, value in config.items()})
        lists = {
            "tags": [],
            "readOnly": False,
            "user": {"name": "me", "username": "me"},
            "historyKeys": {"lastStep": len(rows) - 1},
        }
        return {"project": {"run": known | times | metrics | lists | NOTHING | {"config": wrapped}}}

    def _num_filed(self, run_id):
        return len(self.server.runs[run_id][1]) // 2

    def _send(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _word(value):
    return str(value).replace("nan", "NaN") if isinstance(value, float) and math.isnan(value) else value
