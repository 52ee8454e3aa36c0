"""Somebody at the demo clinic's API, with the cookies of a browser."""

import requests


class Person:
    def __init__(self, address, host, origin):
        self.base, self.cookies = f"http://{address}/c/demo", {}
        self.headers = {"host": host, "origin": origin}

    def ask(self, method, path, body=None):
        headers = self.headers | {"cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        answer = requests.request(method, self.base + path, json=body, headers=headers, timeout=30)
        for line in answer.raw.headers.getlist("set-cookie"):
            name, value = line.split(";")[0].split("=", 1)
            if "Max-Age=0" in line:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer

    def post(self, path, body, status=201):
        answer = self.ask("POST", path, body)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer.json()

    def give_password(self, username, password):
        return self.post("/auth/sessions", {"username": username, "password": password})
