"""The model card of an adapter: what it is, where it comes from, how to use it and how to make it again."""

from tunewright.plan.plan import Plan
from tunewright.runs.store import RunDir


def card(plan: Plan, run: RunDir) -> str:
    """Markdown with the metadata block that Hubs read. English: it travels with the file."""
    spec, data = plan.run, plan.facts.data
    base = plan.facts.model.name
    layers = ", ".join(_targets(spec.peft.target_modules))
    scores = {e["which"]: e["scores"] for e in run.read_events() if e["kind"] == "score"}
    rows = "".join(
        f"| {name} | {scores['before'].get(name, float('nan')):.4g} | {scores['after'].get(name, float('nan')):.4g} |\n"
        for name in scores.get("after", {})
        if "before" in scores
    )
    table = f"\n## Held-out scores\n\n| metric | base | this adapter |\n|---|---|---|\n{rows}" if rows else ""
    return f"""---
base_model: {base}
library_name: peft
pipeline_tag: text-generation
tags: [lora, tunewright]
---
# {run.name}

A {spec.method} adapter for `{base}` (r={spec.peft.r}, lora_alpha={spec.peft.lora_alpha}, layers {layers}), trained with
Tunewright on {data.num_train} rows ({data.format}, sha256 {data.fingerprint[:16]}), {data.num_held_out} held out.
{table}
## Use

```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{run.adapter_dir.name}")
tokenizer = AutoTokenizer.from_pretrained("{run.adapter_dir.name}")
```

Made again by `tunewright train config.yaml` with the run's config.yaml.
"""


def _targets(target_modules: list[str] | str) -> list[str]:
    return [target_modules] if isinstance(target_modules, str) else target_modules
