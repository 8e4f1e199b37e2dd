"""What does this GPU do? `python benchmarks/gpu/run.py [--output DIR] [--minutes 8] [--tiny]`: one command, no network.

Random weights, generated rows; every part in processes of its own, with a limit, so that one that fails or hangs costs the
others nothing. What there was no time for is skipped and says so. Prints a table; DIR has report.json and report.txt for a
bug report, and the runs. `--tiny` tries the script itself with tiny shapes, on a CPU too: parts that need a GPU are then not run.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from tunewright.rundir.run_dir import RunDir

HERE = Path(__file__).parent
GIB = 2**30
# vocabulary, hidden, intermediate, layers, heads, key and value heads
SHAPES = {
    "small": (512, 256, 768, 4, 8, 4), "1B": (32000, 2048, 8192, 16, 32, 8), "7B": (32000, 4096, 11008, 32, 32, 32),
}  # fmt: skip
TINY = {"small": (512, 32, 64, 2, 4, 2), "1B": (512, 64, 96, 2, 4, 2), "7B": (512, 64, 128, 3, 4, 4)}
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]
# Steps that are not counted: kernels are chosen and the allocator grows in them.
WARM_STEPS = 2
ENDED = ("finished", "stopped", "failed", "lost", "damaged")
LOOK_SECONDS, ENDING_SECONDS = 90.0, 20.0
# A part begins only if this much is left of its limit.
LEAST_SHARE = 0.5
Found = dict[str, Any]


class Failed(Exception):
    """A command of a part failed or took too long."""


class NotRun(Exception):
    """What a part needs is not here."""


@dataclass
class Bench:
    """Where everything is, and until when."""

    folder: Path
    until: float
    shapes: Mapping[str, tuple[int, ...]]
    is_tiny: bool
    about: Found = field(default_factory=dict)

    @property
    def has_gpu(self) -> bool:
        return bool(self.about.get("device"))

    def model(self, name: str) -> Path:
        """The folder of a shape, made when it is first asked for."""
        folder = self.folder / "models" / name
        if not (folder / "model.safetensors.index.json").is_file():
            self.script("shapes.py", json.dumps(self.shapes[name]), str(folder), seconds=150)
        return folder

    def rows(self, count: int, longest: int) -> Path:
        """Rows of random words, from a quarter of `longest` bytes to nearly all of it; half of each is the answer."""
        path = self.folder / f"rows-{count}-{longest}.jsonl"
        if not path.is_file():
            draw = random.Random(7)
            sizes = [draw.randint(longest // 4, longest - 80) // 2 for _ in range(count)]
            lines = [{"prompt": _words(draw, size), "completion": _words(draw, size)} for size in sizes]
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    def script(self, name: str, *words: str, seconds: float) -> str:
        """What a script of this folder prints."""
        return self.command([sys.executable, str(HERE / name), *words], seconds=seconds)

    def command(self, words: list[str], *, seconds: float) -> str:
        """A command's output. Raises: Failed if it fails, or takes longer than this or than there is time for."""
        limit = min(seconds, self.until - time.monotonic())
        environment = {
            **os.environ,
            "TUNEWRIGHT_HOME": str(self.folder / "home"),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            **({"OMP_NUM_THREADS": "1"} if self.is_tiny else {}),
        }
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
            cwd=self.folder,
        )  # fmt: skip
        try:
            output, errors = process.communicate(timeout=max(1.0, limit))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Failed(f"{Path(words[1]).name} took longer than {limit:.0f} s") from None
        if process.returncode:
            raise Failed(_last_words(output, errors))
        return output

    def train(self, name: str, model: Path, rows: Path, *, seconds: float, **sets: object) -> Found:
        """A run of `tunewright train` to its end: its result, and its events."""
        place = self.folder / "runs" / name
        sets = {"run.output_dir": str(place), "train.seed": 42, **{k.replace("__", "."): v for k, v in sets.items()}}
        words = [
            sys.executable,
            "-m",
            "tunewright",
            "train",
            str(model),
            str(rows),
            "--json",
            "-q",
            "--force",
            "--offline",
        ]
        words += [word for key, value in sets.items() for word in ("--set", f"{key}={_as_text(value)}")]
        with _ended(place):
            return json.loads(self.command(words, seconds=seconds)) | {"place": place}


@contextmanager
def _ended(place: Path) -> Iterator[None]:
    """Whatever becomes of a block, afterwards nothing computes in this run: its processes do not end with their caller."""
    try:
        yield
    finally:
        run, until = RunDir(place), time.monotonic() + ENDING_SECONDS
        while (place / "run.json").is_file() and run.state() not in ENDED and time.monotonic() < until:
            run.request(now=True)
            time.sleep(0.1)


def _words(draw: random.Random, size: int) -> str:
    text = ""
    while len(text) < size:
        text += "".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 9))) + " "
    return text[:size].strip()


def _as_text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list | bool) else str(value)


def _last_words(output: str, errors: str) -> str:
    """Why a command failed, in a line or two: the problems that it named, or the end of what it said."""
    for text in (output, errors):
        try:
            problems = json.loads(text)["problems"]
            return "; ".join(f"{problem['code']} {problem['message']}" for problem in problems)[:600]
        except (ValueError, KeyError, TypeError):
            continue
    lines = [line for line in errors.splitlines() if line.strip()]
    return " | ".join(lines[-2:])[-600:] or "it said nothing"


def events(place: Path, kind: str) -> list[Found]:
    """The events of one kind of a run."""
    lines = (place / "events.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def about(bench: Bench) -> Found:
    """The machine, and whether torch finds an accelerator."""
    code = (
        "import json, platform, torch; from importlib.util import find_spec; from tunewright import api;"
        "from tunewright.engine.system import device as d;"
        "print(json.dumps({'device': None if d.is_on_cpu() else d.name(), 'memory_bytes': d.memory_bytes(),"
        "'torch': torch.__version__, 'cuda': torch.version.cuda, 'hip': torch.version.hip,"
        "'varlen_attention': d.has_varlen_attention(), 'system': platform.platform(),"
        "'versions': api.environment()['versions'],"
        "'packages': [n for n in ('trl', 'bitsandbytes', 'flash_attn', 'liger_kernel') if find_spec(n)]}))"
    )
    return json.loads(bench.command([sys.executable, "-c", code], seconds=LOOK_SECONDS))


def parity(bench: Bench) -> Found:
    """Loss and gradients by every way: packed against padded, the device against the CPU."""
    rows = bench.rows(64, 400)
    printed = bench.script("parity.py", str(bench.model("small")), str(rows), str(bench.folder / "parity"), seconds=100)
    compared = json.loads(printed.splitlines()[-1])["compared"]
    ran = [one for one in compared if "agrees" in one]
    return {"ok": bool(ran) and all(one["agrees"] for one in ran), "compared": compared}


def resume(bench: Bench) -> Found:
    """The same run twice, and once stopped and resumed: is the adapter the same to the bit?"""
    steps = 12 if bench.is_tiny else 200
    sets = {
        "train__max_steps": steps, "train__eval_steps": steps // 4, "train__per_device_train_batch_size": 4,
        "train__gradient_accumulation_steps": 2, "data__holdout": 0.2, "eval__rows": 0, "train__early_stopping_patience": 0,
    }  # fmt: skip
    model, rows = bench.model("small"), bench.rows(64, 400)
    digests, losses = {}, {}
    for name in ("unbroken", "again"):
        run = bench.train(name, model, rows, seconds=90, **sets)
        digests[name], losses[name] = _digest(run["place"]), _losses(run["place"])
    place = bench.folder / "runs" / "stopped"
    at = _stopped(bench, model, rows, place, steps // 3, sets)
    with _ended(place):
        bench.command([sys.executable, "-m", "tunewright", "runs", "resume", str(place), "--json", "-q"], seconds=90)
    digests["stopped"], losses["stopped"] = _digest(place), _losses(place)
    repeats, exact = digests["unbroken"] == digests["again"], digests["unbroken"] == digests["stopped"]
    furthest = max(abs(a - b) for a, b in zip(losses["unbroken"], losses["stopped"], strict=True))
    return {
        "ok": exact or not repeats, "device_repeats_itself": repeats, "bit_exact": exact, "stopped_at_step": at,
        "furthest_loss": furthest,
    }  # fmt: skip


def _stopped(bench: Bench, model: Path, rows: Path, place: Path, step: int, sets: Mapping[str, object]) -> int:
    """Start a run, stop it after this step; the step it was stopped at."""
    settings = {"run.output_dir": place, "train.seed": 42, **{k.replace("__", "."): v for k, v in sets.items()}}
    words = [
        sys.executable,
        "-m",
        "tunewright",
        "train",
        str(model),
        str(rows),
        "--detach",
        "-q",
        "--force",
        "--offline",
    ]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={_as_text(value)}")]
    with _ended(place):
        bench.command(words, seconds=90)
        run, until = RunDir(place), min(time.monotonic() + 90, bench.until)
        while run.state() not in ENDED and time.monotonic() < until:
            last = run.last_event()
            if last and last.step >= step and not run.is_asked_to_stop():
                run.request(now=False)
            time.sleep(0.02)
        event = run.last_event()
        if run.state() != "stopped" or event is None:
            raise Failed(f"the run was to stop after step {step}, and is {run.state()}")
        return event.step


def _digest(place: Path) -> str:
    return hashlib.sha256((place / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()


def _losses(place: Path) -> list[float]:
    """By step; a step that was done again counts as it was done last."""
    return [loss for _step, loss in sorted({event["step"]: event["loss"] for event in events(place, "log")}.items())]


def out_of_memory(bench: Bench) -> Found:
    """A step that does not fit, as most of the memory is held by another process: does the run get through?"""
    if not bench.has_gpu:
        raise NotRun("no accelerator here")
    model, rows = bench.model("1B"), bench.rows(64, 2048)
    sets = {
        "train__max_steps": 3, "train__per_device_train_batch_size": 16, "train__gradient_accumulation_steps": 1,
        "train__activation_checkpointing": False, "data__holdout": 0, "eval__rows": 0, "model__precision": "bf16",
        "model__quantization": "none", "data__max_length": 2048,
    }  # fmt: skip
    words = [sys.executable, "-m", "tunewright", "plan", str(model), str(rows), "--json", "--offline"]
    words += [w for k, v in sets.items() for w in ("--set", f"{k.replace('__', '.')}={_as_text(v)}")]
    promised = json.loads(bench.command(words, seconds=60))["memory"]["peak_bytes"]
    left = int(0.55 * promised)
    with _ballast(left) as held:
        run = bench.train("out-of-memory", model, rows, seconds=150, **sets)
    info = json.loads((run["place"] / "run.json").read_text())
    remedies = list(info.get("remedies", []))
    return {
        "ok": run["state"] == "finished" and bool(remedies), "promised_bytes": promised, "left_bytes": left,
        "held_bytes": held, "state": run["state"], "remedies": remedies,
    }  # fmt: skip


@contextmanager
def _ballast(left: int) -> Iterator[int]:
    words = [sys.executable, str(HERE / "ballast.py"), str(left)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        held = process.stdout.readline()
        if not held.strip():
            raise Failed("the memory could not be held")
        yield int(held)
    finally:
        process.communicate("")


@dataclass(frozen=True)
class Speed:
    """Tokens a second and memory of one way to train a shape; ours also against its plan."""

    shape: str
    stored: str
    who: str

    def __call__(self, bench: Bench) -> Found:
        if self.who == "trl" and "trl" not in bench.about["packages"]:
            raise NotRun("TRL is not installed")
        if self.stored == "4bit" and "bitsandbytes" not in bench.about["packages"]:
            raise NotRun("bitsandbytes is not installed")
        longest, batch, steps = (160, 4, 4) if bench.is_tiny else (512, 16, 7)
        rows = bench.rows(batch * steps, longest)
        model = bench.model(self.shape)
        if self.who == "ours":
            return self._ours(bench, model, rows, longest, batch, steps)
        asked = {
            "quantization": self.stored, "checkpointing": False, "targets": TARGETS, "longest": longest, "batch": batch,
            "rows": batch // 2, "steps": steps, "folder": str(bench.folder / "trl"),
        }  # fmt: skip
        found = json.loads(
            bench.script("peers.py", self.who, str(model), str(rows), json.dumps(asked), seconds=120).splitlines()[-1]
        )
        seconds = [b - a for a, b in pairwise(found["at"])]
        return _paced(seconds, found["step_tokens"]) | {"peak_bytes": found["peak_bytes"], "losses": found["losses"]}

    def _ours(self, bench: Bench, model: Path, rows: Path, longest: int, batch: int, steps: int) -> Found:
        run = bench.train(
            f"{self.shape}-{self.stored}", model, rows, seconds=150, model__precision="bf16",
            model__quantization=self.stored, data__holdout=0, data__max_length=longest, data__max_truncated=1, eval__rows=0,
            peft__r=16, peft__lora_alpha=32, peft__lora_dropout=0.0, peft__target_modules=TARGETS, train__max_steps=steps,
            train__per_device_train_batch_size=batch // 2, train__gradient_accumulation_steps=2,
            train__activation_checkpointing=False, train__learning_rate=2e-4, train__lr_scheduler_type="constant",
            train__warmup_steps=0, train__train_sampling_strategy="sequential",
        )  # fmt: skip
        logs, plan = events(run["place"], "log"), json.loads((run["place"] / "plan.json").read_text())
        at = [0.0, *(event["train_seconds"] for event in logs)]
        seconds = [b - a for a, b in pairwise(at)]
        done = events(run["place"], "done")[-1]["result"]
        found = _paced(seconds, [done["tokens"] / steps] * steps)
        memory, times = plan["memory"], plan["time"]
        # What tensors take is measured; the plan's part for the process is none of it.
        promised = sum(memory["parts"].values())
        peak = done["peak_device_bytes"]
        return found | {
            "peak_bytes": peak, "losses": [event["loss"] for event in logs], "fast_paths": plan["fast_paths"],
            "promised_bytes": promised - memory["parts"]["libraries"] if peak else None,
            "promised_step_seconds": times["step_seconds"] if times else None,
        }  # fmt: skip


def _paced(seconds: list[float], tokens: list[float]) -> Found:
    """Real tokens a second after the first steps."""
    warm = slice(WARM_STEPS, None)
    taken = sum(seconds[warm])
    return {"tokens_per_second": sum(tokens[warm]) / taken, "step_seconds": taken / len(seconds[warm]), "ok": True}


def parts() -> dict[str, tuple[float, Callable[[Bench], Found]]]:
    """By name what is done, in this order, and the seconds that it usually takes at most."""
    speed = {
        f"{shape} {stored} {who}": (limit, Speed(shape, stored, who))
        for shape, limit in (("1B", 30.0), ("7B", 45.0))
        for who in ("ours", "peft", "trl")
        for stored in ("none", "4bit")
    }
    first = {"parity": (60.0, parity), "resume": (80.0, resume), "out of memory": (75.0, out_of_memory)}
    return first | speed


def one(bench: Bench, seconds: float, work: Callable[[Bench], Found]) -> Found:
    """A part, whatever becomes of it."""
    started = time.monotonic()
    if bench.until - started < LEAST_SHARE * seconds:
        return {"status": "skipped", "reason": f"{max(0.0, bench.until - started):.0f} s were left"}
    try:
        found = work(bench)
    except NotRun as missing:
        return {"status": "not run", "reason": str(missing)}
    except Exception as fault:  # the next part is still worth its time
        found = {"ok": False, "reason": f"{type(fault).__name__}: {fault}"[:800]}
    return {"status": "done" if found.pop("ok") else "FAILED", "seconds": round(time.monotonic() - started, 1), **found}


def table(report: Found) -> str:
    """The report as people read it."""
    about = report["about"]
    memory = f", {about['memory_bytes'] / GIB:.0f} GiB" if about.get("device") else ""
    lines = [
        f"{about.get('device') or 'no accelerator: CPU'}{memory}; torch {about.get('torch')}, CUDA {about.get('cuda')}",
        f"{report['date']}, {report['seconds']:.0f} s{', tiny shapes' if report['tiny'] else ''}",
        "",
        f"{'part':<18} {'status':<8} {'s':>5}  found",
    ]
    for name, part in report["parts"].items():
        first, *others = list(_said(part)) or [""]
        lines.append(f"{name:<18} {part['status']:<8} {part.get('seconds', ''):>5}  {first}".rstrip())
        lines += [f"{'':<34} {other}" for other in others]
    lines += ["", *_against(report["parts"])]
    return "\n".join(lines) + "\n"


def _said(part: Found) -> Iterator[str]:
    if "reason" in part:
        yield part["reason"]
    for one in part.get("compared", []):
        if "not_run" in one:
            yield f"{one['what']}: not run, {one['not_run']}"
        else:
            verdict = "agrees" if one["agrees"] else "DIFFERS"
            yield f"{one['what']}: {verdict}, loss {one['loss']:.1e}, gradients {one['gradients']:.1e}"
    if "bit_exact" in part:
        again = "yes" if part["device_repeats_itself"] else "no: bits cannot be compared"
        yield f"the same run twice is the same: {again}; stopped at step {part['stopped_at_step']} and resumed: " + (
            "the same to the bit" if part["bit_exact"] else f"losses differ by up to {part['furthest_loss']:.1e}"
        )
    if "remedies" in part:
        yield f"{part['left_bytes'] / GIB:.1f} GiB for {part['promised_bytes'] / GIB:.1f}: {part['state']}"
        yield from (f"{remedy.get('what')}: {remedy.get('was')} -> {remedy.get('now')}" for remedy in part["remedies"])
    if "tokens_per_second" in part:
        yield f"{part['tokens_per_second']:,.0f} tokens/s, {part['step_seconds']:.3f} s a step, {_memory(part)}"


def _memory(part: Found) -> str:
    if not part["peak_bytes"]:
        return "memory not measured"
    peak, promised = part["peak_bytes"], part.get("promised_bytes")
    against = f" (promised {promised / GIB:.2f}, {promised / peak - 1:+.0%})" if promised else ""
    step = part.get("promised_step_seconds")
    late = f"; {step:.3f} s a step promised ({step / part['step_seconds'] - 1:+.0%})" if step else ""
    return f"{peak / GIB:.2f} GiB{against}{late}"


def _against(found: Mapping[str, Found]) -> Iterator[str]:
    """Ours over each peer."""
    for name, peer in found.items():
        shape, _blank, rest = name.partition(" ")
        stored, _blank, who = rest.partition(" ")
        ours = found.get(f"{shape} {stored} ours", {})
        if who in ("peft", "trl") and "tokens_per_second" in peer and "tokens_per_second" in ours:
            faster = ours["tokens_per_second"] / peer["tokens_per_second"]
            less = ours["peak_bytes"] / peer["peak_bytes"] if ours["peak_bytes"] and peer["peak_bytes"] else None
            yield f"{shape} {stored}: {faster:.2f} times {who}'s tokens/s" + (
                f", {less:.2f} of its memory" if less else ""
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(f"gpu-report-{datetime.now():%Y%m%d-%H%M%S}"))
    parser.add_argument("--minutes", type=float, default=7.5)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", nargs="*", default=[], help="parts by the beginning of their names")
    asked = parser.parse_args()
    started = time.monotonic()
    folder = asked.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, started + LOOK_SECONDS, TINY if asked.tiny else SHAPES, asked.tiny)
    bench.about = about(bench)
    bench.until = started + 60 * asked.minutes
    report: Found = {
        "schema": 1, "date": f"{datetime.now():%Y-%m-%d %H:%M}", "tiny": asked.tiny, "about": bench.about, "parts": {},
    }  # fmt: skip
    for name, (seconds, work) in parts().items():
        if asked.only and not name.startswith(tuple(asked.only)):
            continue
        print(name, "...", file=sys.stderr, flush=True)
        needs_gpu = not bench.has_gpu and not bench.is_tiny
        report["parts"][name] = (
            {"status": "not run", "reason": "no accelerator here; --tiny tries the script"}
            if needs_gpu
            else one(bench, 0.0 if bench.is_tiny else seconds, work)
        )
        report["seconds"] = round(time.monotonic() - started, 1)
        # What there is, is written after each part: a machine that goes away leaves the rest behind.
        text = json.dumps(report, indent=1).replace(str(folder), "OUTPUT").replace(str(Path.home()), "~")
        (folder / "report.json").write_text(text + "\n")
        (folder / "report.txt").write_text(table(json.loads(text)))
    print((folder / "report.txt").read_text())
    print(f"{folder / 'report.json'} has all of it, for a bug report.")
    return int(any(part["status"] == "FAILED" for part in report["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
