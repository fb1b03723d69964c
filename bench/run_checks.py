"""What must hold of a run that was killed over and over: `violations` says what does not, `damages` makes records of which something does not,
so that a script can show that each check could fail."""

import copy

from run_upstreams import answer_to

ROUNDS = 2
TURNS = 2


def definition(bot, tools):
    """A workflow of every kind of node: two roles, a form, a loop with a tool and an agent, a wait, a branch, a dialogue."""
    ask = lambda id, role, kind, **more: dict(type="Input", id=id, role=role, prompt="What is it?", input_type=kind, **more)
    colours = [{"value": value, "label": value} for value in ("red", "green", "blue")]
    tool = lambda id, **body: dict(type="Tool", id=id, method="POST", url=tools + "/" + id, body=dict(number="{{input.number}}", **body))
    return {
        "type": "Workflow", "id": "order", "title": "Order", "participants": [{"name": "customer"}, {"name": "reviewer"}],
        "inputs": [{"name": "number", "type": "text"}],
        "children": [
            {"type": "Message", "id": "hello", "text": "Order {{input.number}}"},
            ask("wish", "customer", "text"),
            {"type": "Workflow", "id": "details", "ui": "form", "title": "Details", "children": [
                ask("colour", "customer", "select", options=colours), ask("amount", "customer", "number")]},
            {"type": "Loop", "id": "rounds", "times": ROUNDS, "children": [
                tool("book", round="{{loop.index}}", wish="{{wish}}"),
                {"type": "Agent", "id": "draft", "bot": bot, "prompt": "{{input.number}} {{loop.index}}: {{wish}}"},
                ask("verdict", "reviewer", "text")]},
            {"type": "Wait", "id": "pause", "seconds": 1},
            {"type": "Conditional", "id": "large", "branches": [{
                "when": {"left": "{{details.amount}}", "op": "gt", "right": 500}, "children": [ask("reason", "customer", "textarea")]}]},
            {"type": "Agent", "id": "talk", "bot": bot, "role": "customer", "max_turns": TURNS, "until": "max_turns"},
            tool("finish", amount="{{details.amount}}"),
            ask("grade", "customer", "number"),
            {"type": "Message", "id": "bye", "text": "Done", "to": ["customer"]},
        ],
    }


class Record:
    """One run as its clients saw it: `tried` is what was sent, `acknowledged` what was answered with 200."""

    def __init__(self, number):
        self.number = number
        self.id = None
        self.tried = {}
        self.acknowledged = {}
        self.said = []
        self.asked_again = []
        self.ended = False


def script(is_large):
    """The timeline as it must be, without what depends on failures and on moments."""
    answered = lambda step: [("step.opened", step), ("step.answered", step)]
    lines = [("run.started", None), ("message.posted", "hello")] + answered("wish") + answered("details")
    for number in range(1, ROUNDS + 1):
        lines += [("loop.iterated", "rounds"), ("tool.called", "book.%d" % number), ("tool.returned", "book.%d" % number)]
        lines += [("agent.said", "draft.%d" % number)] + answered("verdict.%d" % number)
    lines += [("timer.set", "pause")] + (answered("reason") if is_large else []) + [("step.opened", "talk")]
    lines += [("participant.said", "talk"), ("agent.said", "talk")] * TURNS + [("step.answered", "talk")]
    lines += [("tool.called", "finish"), ("tool.returned", "finish")] + answered("grade")
    return lines + [("message.posted", "bye"), ("run.completed", None)]


def violations(record, run, events, calls, asked):
    """Sentences; none when everything holds. `calls` and `asked` are what the tool server and the model server counted."""
    found = []
    if run["status"] != "completed":
        found.append("its status is %s (%s)" % (run["status"], run.get("ending")))
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)) or run["last_seq"] != len(events):
        found.append("the numbers of its events have a gap or a repetition")
    found += ["its answered step %s was asked again" % step for step in record.asked_again]
    found += order(run, events) + once(events) + answers(record, run, events) + outside(record, events, calls, asked)
    return found


def order(run, events):
    is_large = ((run["state"].get("details") or {}).get("amount") or 0) > 500
    failed = {event["data"]["effect"] for event in events if event["kind"] == "tool.returned" and event["data"].get("status") != 200}
    kept = []
    for event in events:
        data = event["data"]
        is_passing = event["kind"] == "run.waiting" or data.get("effect") in failed or (event["kind"] == "timer.set" and "code" in data)
        if not is_passing:
            kept.append((event["kind"], data.get("step")))
    wanted = script(is_large)
    for place in range(max(len(kept), len(wanted))):
        has, wants = ([*lines[place : place + 1], None][0] for lines in (kept, wanted))
        if has != wants:
            return ["line %d of its timeline is %s where %s belongs" % (place, has, wants)]
    return []


def once(events):
    """Nothing is asked, answered or recorded twice, and no timer fires before its time."""
    found, seen = [], set()
    for place, event in enumerate(events):
        kind, data = event["kind"], event["data"]
        if kind in ("step.opened", "step.answered", "message.posted"):
            mark = (kind, data["step"])
        elif kind in ("tool.called", "tool.returned"):
            mark = (kind, data["effect"])
        elif kind in ("agent.said", "participant.said"):
            mark = (kind, data["step"], data["text"])
        elif kind == "loop.iterated":
            mark = (kind, data["step"], data["iteration"])
        else:
            mark = None
        if mark in seen and mark is not None:
            found.append("it has %s of %s twice" % mark[:2])
        seen.add(mark)
        if kind == "timer.set":
            after = next((later for later in events[place + 1 :] if later["kind"] != "run.waiting"), None)
            if after and after["at"] < data["at"]:
                found.append("%s did not wait for its timer" % data["step"])
    return found


def answers(record, run, events):
    found = []
    told = {event["data"]["step"]: event["data"].get("value") for event in events if event["kind"] == "step.answered"}
    for step, value in record.acknowledged.items():
        if step not in told:
            found.append("the acknowledged answer to %s is missing" % step)
        elif told[step] != value:
            found.append("%s has another answer than the acknowledged one" % step)
    for step, value in told.items():
        if step != "talk" and value not in record.tried.get(step, []):
            found.append("%s has an answer that nobody gave" % step)
        if step != "talk" and ("." not in step or step.endswith(".%d" % ROUNDS)) and run["state"].get(step.split(".")[0]) != value:
            found.append("the state's %s is not what the timeline says" % step)
    heard = [event["data"]["text"] for event in events if event["kind"] == "participant.said"]
    found += ["the acknowledged words %r are missing" % text for text in record.said if text not in heard]
    return found


def outside(record, events, calls, asked):
    """Each call that is recorded was made, every time with the same key, and each reply is one that the model gave."""
    found = []
    for event in events:
        data = event["data"]
        if event["kind"] == "tool.returned":
            made = calls.get("%s/%s" % (record.id, data["step"]), [])
            if not made:
                found.append("the tool of %s was not called with the key of the step" % data["step"])
            elif any(call != made[0] for call in made) or made[0][1]["number"] != record.number:
                found.append("the calls of %s differ" % data["step"])
        elif event["kind"] == "agent.said":
            question = data["text"].partition(" to: ")[2]
            times = asked.get(question, 0)
            if data["text"] not in [answer_to(question, time) for time in range(1, times + 1)] or record.number not in question:
                found.append("%s has a reply that the model did not give" % data["step"])
    return found


def damages(record, run, events, calls):
    """Records of which each is wrong in one way: its name, then the arguments of `violations` but for the last."""
    index = lambda kind: next(place for place, event in enumerate(events) if event["kind"] == kind)

    def without(place):
        return events[:place] + events[place + 1 :]

    def numbered(lines):
        return [dict(event, seq=number) for number, event in enumerate(lines, 1)], dict(run, last_seq=len(lines))

    yield "an unfinished run", record, dict(run, status="waiting"), events, calls
    yield "a gap", record, run, without(index("run.waiting")), calls
    for kind in ("step.opened", "step.answered", "agent.said", "tool.returned", "participant.said", "message.posted"):
        for name, place in (("a repeated", index(kind) + 1), ("a missing", None)):
            lines = without(index(kind)) if place is None else events[:place] + [events[place - 1]] + events[place:]
            lines, counted = numbered(lines)
            yield "%s %s" % (name, kind), record, counted, lines, calls
    changed = copy.deepcopy(record)
    changed.acknowledged["wish"] = "something else"
    yield "another answer", changed, run, events, calls
    yield "another state", record, dict(run, state=dict(run["state"], wish="something else")), events, calls
    changed = copy.deepcopy(record)
    changed.said.append("never heard")
    yield "lost words", changed, run, events, calls
    changed = copy.deepcopy(record)
    changed.asked_again.append("wish")
    yield "a step asked again", changed, run, events, calls
    early, place = list(events), index("timer.set")
    early[place] = dict(events[place], data=dict(events[place]["data"], at="2999-01-01T00:00:00.000Z"))
    yield "a timer that fired early", record, run, early, calls
    yield "a call under another key", record, run, events, {}
    key = "%s/finish" % record.id
    yield "calls that differ", record, run, events, dict(calls, **{key: calls[key] + [("/finish", {"number": "x"})]})
