"""Stripe for tests: `localstripe`, and in front of it what it lacks.

`localstripe` holds cards, charges, refunds and the balance: whether a card is refused, whether a bank wants to be asked,
and what there is to the cent is its word. It knows no `Idempotency-Key`, and its payment intents neither
`capture_method` nor a card given by a page. Those stand here, on its charges with `capture=false`.

Prints `{"port": …}` when it answers. `/_test/…` is for tests: what was told, to be told twice, late, forged or never; and
answers that get lost.
"""

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import signal
import socket
import sys
import time

import aiohttp
from aiohttp import web

KEY = "sk_test_localstripe"
# Its own copy of everything, cards included, does not go to the disk.
LOCALSTRIPE = """
import localstripe.resources
localstripe.resources.Store.dump_to_disk = lambda store: None
import localstripe.server
localstripe.server.start()
"""
# Its own only asks the bank; the card stays in the page.
CONFIRM = """
;(() => {
  const make = Stripe
  Stripe = key => {
    const stripe = make(key)
    const ask = async (path, body) => {
      const options = { method: 'POST', body: JSON.stringify({ key, ...body }) }
      return (await fetch(`${LOCALSTRIPE_BASE_API}/v1/payment_intents/${path}`, options)).json()
    }
    stripe.confirmCardPayment = async (client_secret, data) => {
      const id = client_secret.match(/^(pi_\\w+)_secret_/)[1]
      const payment_method_data = { type: 'card', card: data.payment_method.card.value.card }
      let answer = await ask(`${id}/confirm`, { client_secret, payment_method_data })
      if (answer.status === 'requires_action') {
        const success = await openModal('3D Secure', 'Complete authentication', 'Fail authentication')
        answer = await ask(`${id}/_authenticate?success=${success}`, { client_secret })
      }
      if (answer.error) return { error: answer.error }
      if (answer.last_payment_error) return { error: answer.last_payment_error }
      return { paymentIntent: answer }
    }
    return stripe
  }
})()
"""


class Refused(Exception):
    def __init__(self, status, error):
        super().__init__(error)
        self.status, self.body = status, {"error": error}


class Service:
    def __init__(self, base):
        self.base = base
        self.intents = {}
        self.keys = {}
        self.locks = {}
        self.events = []
        self.asked = {}
        self.lose = []
        # What localstripe makes of a partial capture is no refund that anybody asked for.
        self.of_captures = set()

    async def ask(self, method, path, data=None, params=None):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.request(method, self.base + path, json=data, params=params) as answer:
                body = await answer.json(content_type=None)
        if answer.status >= 400:
            raise Refused(answer.status, body.get("error", {}))
        return body

    def tell(self, kind, thing):
        event = {"id": f"evt_{secrets.token_hex(8)}", "object": "event", "type": kind,
                 "created": int(time.time()), "data": {"object": thing}}
        self.events.append(event)

    # Payment intents.

    async def create(self, data):
        capture = data.pop("capture_method", "automatic")
        data.pop("payment_method_types", None)
        confirm = data.pop("confirm", None) == "true"
        off_session = data.pop("off_session", None) == "true"
        method = data.get("payment_method")
        made = await self.ask("POST", "/v1/payment_intents", data)
        intent = {
            "id": made["id"], "object": "payment_intent", "amount": int(data["amount"]),
            "currency": data["currency"], "customer": data.get("customer"), "payment_method": method,
            "client_secret": made["client_secret"], "capture_method": capture, "status": "requires_payment_method",
            "amount_capturable": 0, "amount_received": 0, "latest_charge": None, "last_payment_error": None,
            "metadata": data.get("metadata", {}), "next_action": None,
        }
        self.intents[intent["id"]] = intent
        if confirm:
            await self.authorise(intent)
            if intent["status"] != "requires_capture":
                raise Refused(402, {"type": "card_error", "code": "card_declined", "payment_intent": intent})
        assert confirm or not off_session
        return intent

    def intent(self, request):
        intent = self.intents.get(request.match_info["id"])
        if intent is None:
            raise Refused(404, {"code": "resource_missing"})
        return intent

    async def confirm(self, request, data):
        """By the page: the card is saved by localstripe, which knows which bank wants to be asked."""
        intent = self.intent(request)
        if data.get("client_secret") != intent["client_secret"] or not str(data.get("key")).startswith("pk_"):
            raise Refused(401, {"code": "api_key_invalid"})
        if intent["status"] not in ("requires_payment_method", "requires_confirmation"):
            raise Refused(400, {"code": "payment_intent_unexpected_state"})
        intent["last_payment_error"] = None
        setup = await self.ask("POST", "/v1/setup_intents", {"payment_method_types": ["card"]})
        path = f"/v1/setup_intents/{setup['id']}/confirm"
        card = {"payment_method_data": data["payment_method_data"]}
        try:
            setup = await self.ask("POST", path, card)
        except Refused as refused:
            self.decline(intent, refused)
            raise
        intent["payment_method"] = setup["payment_method"]
        if setup["status"] == "requires_action":
            intent["status"], intent["next_action"] = "requires_action", {"type": "use_stripe_sdk"}
            self.tell("payment_intent.requires_action", intent)
            return intent
        await self.authorise(intent)
        return intent

    async def authenticate(self, request, data):
        intent = self.intent(request)
        if data.get("client_secret") != intent["client_secret"] or intent["status"] != "requires_action":
            raise Refused(400, {"code": "payment_intent_unexpected_state"})
        intent["next_action"] = None
        if request.query.get("success") == "true":
            await self.authorise(intent)
        else:
            self.decline(intent, Refused(402, {"code": "payment_intent_authentication_failure"}))
        return intent

    async def authorise(self, intent):
        charge = {"amount": intent["amount"], "currency": intent["currency"],
                  "source": intent["payment_method"], "capture": "false"}
        try:
            made = await self.ask("POST", "/v1/charges", charge)
        except Refused as refused:
            self.decline(intent, refused)
            return
        intent.update(status="requires_capture", latest_charge=made["id"], amount_capturable=intent["amount"])
        self.tell("payment_intent.amount_capturable_updated", intent)

    def decline(self, intent, refused):
        error = refused.body["error"]
        failure = {"type": "card_error", "code": error.get("code", "card_declined"), "message": "Declined."}
        intent.update(status="requires_payment_method", payment_method=None, last_payment_error=failure)
        self.tell("payment_intent.payment_failed", intent)

    async def capture(self, request, data):
        intent = self.intent(request)
        if intent["status"] != "requires_capture":
            raise Refused(400, {"code": "payment_intent_unexpected_state"})
        amount = int(data.get("amount_to_capture", intent["amount"]))
        charge = intent["latest_charge"]
        await self.ask("POST", f"/v1/charges/{charge}/capture", {"amount": amount})
        listed = await self.ask("GET", "/v1/refunds", params={"charge": charge})
        self.of_captures.update(refund["id"] for refund in listed["data"])
        intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
        self.tell("payment_intent.succeeded", intent)
        return intent

    async def cancel(self, request, _):
        intent = self.intent(request)
        if intent["status"] in ("succeeded", "canceled"):
            raise Refused(400, {"code": "payment_intent_unexpected_state"})
        intent.update(status="canceled", amount_capturable=0, next_action=None)
        self.tell("payment_intent.canceled", intent)
        return intent

    async def refund(self, _, data):
        intent = self.intents.get(data.pop("payment_intent", None))
        if intent is None or intent["status"] != "succeeded":
            raise Refused(400, {"code": "payment_intent_unexpected_state"})
        back = sum(refund["amount"] for refund in await self.refunds_of(intent))
        if int(data["amount"]) > intent["amount_received"] - back:
            raise Refused(400, {"code": "charge_already_refunded"})
        made = await self.ask("POST", "/v1/refunds", {**data, "charge": intent["latest_charge"]})
        self.tell("charge.refunded", {"id": intent["latest_charge"], "payment_intent": intent["id"]})
        return made

    async def refunds_of(self, intent):
        listed = await self.ask("GET", "/v1/refunds", params={"charge": intent["latest_charge"]})
        return [refund for refund in listed["data"] if refund["id"] not in self.of_captures]

    # Requests.

    async def post(self, request, work):
        """A request with a key is answered once; the answer is given again."""
        body = await request.read()
        key = request.headers.get("Idempotency-Key")
        data = fields(request, body)
        path = request.path.removeprefix("/v1/")
        if key is None:
            self.count(path)
            return await self.answer(work, request, data)
        async with self.locks.setdefault(key, asyncio.Lock()):
            mark = hashlib.sha256(request.path.encode() + b"\0" + body).hexdigest()
            known = self.keys.get(key)
            if known is None:
                self.count(path)
                answer = await self.answer(work, request, data)
                known = self.keys[key] = (mark, answer.status, answer.text)
            elif known[0] != mark:
                return web.json_response({"error": {"type": "idempotency_error", "code": "idempotency_key_in_use"}}, status=400)
        if path in self.lose:
            self.lose.remove(path)
            request.transport.abort()
        return web.json_response(text=known[2], status=known[1])

    def count(self, path):
        path = re.sub(r"(pi|pm|seti|ch)_\w+", "*", path)
        self.asked[path] = self.asked.get(path, 0) + 1

    async def answer(self, work, request, data):
        try:
            return web.json_response(await work(request, data))
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)

    async def forward(self, request):
        if request.method == "GET":
            return await self.answer(lambda r, _: self.ask("GET", r.path_qs), request, None)

        async def passed_on(request, data):
            made = await self.ask("POST", request.path_qs, data)
            if re.fullmatch(r"/v1/setup_intents/\w+/confirm", request.path):
                self.tell(f"setup_intent.{made['status']}", made)
            return made

        return await self.post(request, passed_on)

    async def script(self, _):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{self.base}/js.stripe.com/v3/") as answer:
                text = await answer.text()
        # Its class `Element` is not to stand in the way of the browser's.
        text = f"(() => {{{text}{CONFIRM}}})()"
        return web.Response(text=text, content_type="application/javascript")

    # For tests.

    async def books(self, _):
        listed = await self.ask("GET", "/v1/balance_transactions", params={"limit": 999})
        return web.json_response({
            "balance_minor": sum(entry["amount"] for entry in listed["data"]),
            "asked": self.asked, "intents": list(self.intents.values()),
            "events": [{"id": event["id"], "type": event["type"]} for event in self.events],
        })

    async def deliver(self, request):
        """Sends an event, signed with the named secret as of the named time. What the other side said."""
        wish = await request.json()
        event = next(event for event in self.events if event["id"] == wish["event"])
        body = json.dumps(event).encode()
        at = int(time.time()) - wish.get("age", 0)
        mac = hmac.new(wish["secret"].encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={at},v1={mac}",
                   "Host": wish["host"]}
        async with aiohttp.ClientSession() as session:
            async with session.post(wish["url"], data=body, headers=headers) as answer:
                return web.json_response({"status": answer.status})

    async def lose_answer(self, request):
        self.lose.append((await request.json())["path"])
        return web.json_response({})


def fields(request, body):
    """JSON of a page, or a form of a server: `metadata[hold]=…`."""
    if not body:
        return {}
    if body.startswith(b"{"):
        return json.loads(body)
    from urllib.parse import parse_qsl

    data = {}
    for name, value in parse_qsl(body.decode(), keep_blank_values=True):
        found = re.fullmatch(r"(\w+)\[(\w*)\]", name)
        if found and found[2]:
            data.setdefault(found[1], {})[found[2]] = value
        elif found:
            data.setdefault(found[1], []).append(value)
        else:
            data[name] = value
    return data


@web.middleware
async def for_pages(request, handler):
    answer = await handler(request)
    if "Origin" in request.headers:
        answer.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
    return answer


def routes(service):
    def post(path, work):
        return web.post(path, lambda request: service.post(request, work))

    async def look(request):
        return await service.answer(lambda r, _: shown(service.intent(r)), request, None)

    async def shown(thing):
        return thing

    async def refunds(request):
        async def listed(request, _):
            intent = service.intents.get(request.query.get("payment_intent"))
            data = await service.refunds_of(intent) if intent and intent["latest_charge"] else []
            return {"object": "list", "data": data, "has_more": False}

        return await service.answer(listed, request, None)

    return [
        web.get("/v3/", service.script),
        web.get("/_test/books", service.books),
        web.post("/_test/deliver", service.deliver),
        web.post("/_test/lose", service.lose_answer),
        post("/v1/payment_intents", lambda _, data: service.create(data)),
        web.get("/v1/payment_intents/{id}", look),
        post("/v1/payment_intents/{id}/confirm", service.confirm),
        post("/v1/payment_intents/{id}/_authenticate", service.authenticate),
        post("/v1/payment_intents/{id}/capture", service.capture),
        post("/v1/payment_intents/{id}/cancel", service.cancel),
        post("/v1/refunds", service.refund),
        web.get("/v1/refunds", refunds),
        web.route("*", "/{path:.*}", service.forward),
    ]


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


async def answers(url):
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url):
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)


async def main():
    port = free_port()
    arguments = [sys.executable, "-c", LOCALSTRIPE, "--port", str(port), "--from-scratch"]
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*arguments, stdout=silent, stderr=silent)
    try:
        base = f"http://127.0.0.1:{port}"
        await asyncio.wait_for(answers(base), 30)
        app = web.Application(middlewares=[for_pages])
        app.add_routes(routes(Service(base)))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        # Whoever started it is gone: so is its pipe.
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        waits = [asyncio.ensure_future(wait) for wait in (ended.wait(), reader.read())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        process.kill()
        await process.wait()


asyncio.run(main())
