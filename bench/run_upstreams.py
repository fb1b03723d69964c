"""A tool server and a model server that count what they are asked, for `bench/runs-crash`. Threads of the script's own process: they outlive
the server that is killed, and so remember what it asked before."""

import collections
import http.server
import json
import random
import threading
import time
import zlib

SLOWEST = 0.15
FAILING = 50


class Counted(http.server.BaseHTTPRequestHandler):
    """Answers JSON after a pause, and fails the first request of every fiftieth kind, so that retries are met as well."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind, answer = self.server.take(self.path, self.headers, json.loads(body))
        time.sleep(random.random() * SLOWEST)
        fails = kind[1] == 1 and zlib.crc32(kind[0].encode()) % FAILING == 0
        content = b"{}" if fails else json.dumps(answer).encode()
        try:
            self.send_response(503 if fails else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            self.close_connection = True  # who asked was killed

    def log_message(self, *_):
        pass


class Upstream(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Counted)
        self.lock = threading.Lock()
        self.url = "http://127.0.0.1:%d" % self.server_port
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        pass  # connections of a killed server


class Tools(Upstream):
    """Every call by its `Idempotency-Key`: the path and the body of each time."""

    def __init__(self):
        super().__init__()
        self.calls = collections.defaultdict(list)

    def take(self, path, headers, body):
        key = headers.get("Idempotency-Key") or ""
        with self.lock:
            self.calls[key].append((path, body))
            times = len(self.calls[key])
        return (key, times), {"times": times}


class Model(Upstream):
    """OpenAI's completions, not streamed. How often each question was asked: the answer says which time it was."""

    def __init__(self):
        super().__init__()
        self.asked = collections.Counter()

    def take(self, _path, _headers, body):
        question = [line["content"] for line in body["messages"] if line["role"] == "user"][-1]
        with self.lock:
            self.asked[question] += 1
            times = self.asked[question]
        message = {"role": "assistant", "content": answer_to(question, times)}
        return (question, times), {
            "id": "c", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


def answer_to(question, times):
    return "Answer %d to: %s" % (times, question)
