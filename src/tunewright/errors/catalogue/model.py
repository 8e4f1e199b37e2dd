"""E3: model, tokenizer and adapter."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import Entry
from tunewright.i18n import N_

MODEL: Mapping[str, Entry] = {
    "E301": Entry(
        N_("target_modules {targets} match nothing in {architecture}; layers here: {available}"),
        N_("Names of layers differ from family to family."),
        (
            N_("what plays the same roles here: --set peft.target_modules='{same_roles}'"),
            N_('did you mean "{suggestion}"?'),
            N_("--set preset=medium"),
            N_("--set peft.target_modules='{example}'"),
        ),
    ),
    "E302": Entry(
        N_('"{name}" is no model: {reason}'),
        N_("A model is a folder with config.json, a GGUF file, a Hub id, or one of the built-in names {builtin}."),
        (
            N_('did you mean "{suggestion}"?'),
            N_("a Hub id has an owner: {like}"),
            N_("tunewright train smollm2 my.jsonl"),
        ),
    ),
    "E303": Entry(
        N_("{file} holds pickled weights, which can run code when they are loaded"),
        N_("Only safetensors (and GGUF) weights are read."),
        (N_("convert the model elsewhere with save_pretrained(..., safe_serialization=True)"),),
    ),
    "E304": Entry(
        N_("no usable tokenizer in {folder}: {reason}"),
        N_("The model folder must hold tokenizer.json or the files to make it from."),
    ),
    "E305": Entry(
        N_("this tokenizer has no chat template, and the data are conversations"),
        N_("Without a template it is not known how turns are written for this model."),
        (N_("--set model.chat_template=chatml"),),
    ),
    "E306": Entry(
        N_("{architecture} cannot do the task {task}; it can do: {tasks}"),
        N_("A decoder writes on, an encoder labels texts and words, an encoder-decoder turns one text into another."),
        (N_("--task {other}"), N_("a built-in model that can: --model {builtin}")),
    ),
    "E307": Entry(
        N_("{file}: the key {key} would run code from the model's folder"),
        N_("Tunewright runs no code of a model's repository."),
    ),
    "E308": Entry(
        N_("{file} is not a sound GGUF file: {reason}"),
        N_("The header does not agree with the file; it may be cut or made to do harm."),
    ),
    "E309": Entry(
        N_("{file} is damaged: {reason}"),
        N_("The weights file is cut, or its header does not fit its length."),
    ),
    "E310": Entry(
        N_("the adapter does not fit the model: {reason}"),
        N_("Every tensor of an adapter must find its place, with its shape, and be finite."),
    ),
    "E311": Entry(
        N_("transformers could not load the model: {reason}"),
        N_("The config names an architecture or a setting this version does not know."),
        (N_("tunewright env   shows the versions"),),
    ),
    "E312": Entry(
        N_("r={r} is larger than the smallest of the target layers ({name}: {shape})"),
        N_("A low rank above the layer's own rank has no meaning."),
        (N_("--set peft.r={largest}"),),
    ),
    "E313": Entry(
        N_("model.quantization: {kind} finds no layer in {architecture} that it could store in fewer bits"),
        N_("bitsandbytes takes plain linear layers; some families, Falcon among them, have a kind of their own."),
        (N_("--set model.quantization=none"), N_("--set model.precision=bf16   halves the weights as well")),
    ),
    "E314": Entry(
        N_("the chat template in {file} cannot be used: {reason}"),
        N_("A template that comes with a model is tried once, in a process with little time and memory."),
        (N_("--set model.chat_template=chatml"),),
    ),
    "E315": Entry(
        N_("{file} leads out of its folder, to {name}"),
        N_("Files of a model or of data are read from their own folder alone; what leads elsewhere is refused."),
        (N_("copy the file itself into the folder"),),
    ),
    "E316": Entry(
        N_("{count} tensors that config.json describes are missing in the weights of {folder}: {names}"),
        N_(
            "They would start as random numbers, and a training on them would be one of another model. Usually a copy was "
            "interrupted, a shard is lost, or config.json is that of another model."
        ),
        (
            N_("copy or download the model again, config.json and weights together"),
            N_("write into config.json what the file holds: {fix}"),
        ),
        singular=N_("{count} tensor that config.json describes is missing in the weights of {folder}: {names}"),
    ),
    "E317": Entry(
        N_("{count} tensors in the weights of {folder} have no place in the model that config.json describes: {names}"),
        N_(
            "They would be left out, and what is trained would be another model. Usually config.json names too few layers, or "
            "is that of another model."
        ),
        (
            N_("copy or download the model again, config.json and weights together"),
            N_("write into config.json what the file holds: {fix}"),
        ),
        singular=N_(
            "{count} tensor in the weights of {folder} has no place in the model that config.json describes: {names}"
        ),
    ),
    "E318": Entry(
        N_(
            "{count} tensors in the weights of {folder} have other shapes than config.json says (file / config): {names}"
        ),
        N_("They would start as random numbers. Usually config.json is that of another model, or was edited."),
        (
            N_("copy or download the model again, config.json and weights together"),
            N_("write into config.json what the file holds: {fix}"),
        ),
        singular=N_(
            "{count} tensor in the weights of {folder} has another shape than config.json says (file / config): {names}"
        ),
    ),
    "E319": Entry(
        N_("{file}: {key} is {value}; {wanted}"),
        N_("No model has such a size, so nothing can be planned by it. The file was edited or is damaged."),
        (N_("copy or download the model's config.json again"),),
    ),
    "E320": Entry(
        N_("{count} files of weights are missing that {index} names: {files}"),
        N_("A large model lies in several files; a download or a copy ended early."),
        (N_("copy or download the model again, all of its files"),),
        singular=N_("{count} file of weights is missing that {index} names: {files}"),
    ),
    "E321": Entry(
        N_("{folder} is stored in fewer bits already ({method}), and only plain weights are trained on"),
        N_(
            "Its config.json holds a quantization_config. Packed weights are not unpacked here; Tunewright stores plain weights "
            "in fewer bits itself, and then trains beside them (QLoRA)."
        ),
        (
            N_("the model that it was made from: --model {base} --set model.quantization=4bit"),
            N_(
                "take the model that it was made from, usually of the same name without an ending, "
                "with --set model.quantization=4bit"
            ),
            N_("the weights in this folder are plain: remove quantization_config from {config}"),
        ),
    ),
    "E322": Entry(
        N_("{folder} is an adapter ({method}, r={rank}) for {base}, not a model"),
        N_(
            "An adapter holds what was added to a base model. To train on from it, base and adapter become one model first."
        ),
        (
            N_("tunewright merge {run} merged   then: tunewright train merged DATA"),
            N_("{command}   then: tunewright train merged DATA"),
            N_("train the base anew: tunewright train {base} DATA"),
        ),
    ),
    "E323": Entry(
        N_("{folder} is an adapter ({method}, r={rank}) for {base}, not a run"),
        N_("A run is the folder that `train` made, with run.json in it; its adapter is a part of it."),
        (
            N_("name the run that it belongs to: {run}"),
            N_("{command}   makes one plain model of it: tunewright train merged DATA"),
        ),
    ),
    "E324": Entry(
        N_("the folder of the base model is missing: {folder}"),
        N_("A run keeps its adapter and not the base; the base must stay where it was, or be there again."),
        (
            N_("put the folder back where it was"),
            N_("a model of the Hub or a built-in one: tunewright doctor --fetch {name}"),
        ),
    ),
    "E325": Entry(
        N_("{count} tensors are not in the file that {index} names for them: {names}"),
        N_(
            "The index says in which file each tensor lies. Where it is wrong, files of two models or of two versions were "
            "mixed, or the index was written for other files."
        ),
        (
            N_("copy or download the model again, all of its files"),
            N_("if the files do belong together, write the index anew: {command}"),
        ),
        singular=N_("{count} tensor is not in the file that {index} names for it: {names}"),
    ),
    "E326": Entry(
        N_("the weights in {folder} are under names that are not looked for: {files}"),
        N_(
            "Weights are read from model.safetensors, or from the files that model.safetensors.index.json names; other "
            "files may be a part of a model, or another version of it."
        ),
        (
            N_("copy or download the files that are missing ({lost}), and model.safetensors.index.json"),
            N_("copy or download model.safetensors.index.json too, or write it: {command}"),
            N_("if this file is the whole model: {rename}"),
            N_("copy or download the model again, all of its files"),
        ),
    ),
    "E327": Entry(
        N_("{count} tensors in the weights of {folder} have names with {prefixes} in front: {names}"),
        N_(
            "The model was saved from inside of a wrapper (torch.compile, DataParallel, DDP, FSDP, a module of one's own) that "
            "puts its own name before each tensor's. No class of transformers finds its tensors under such names."
        ),
        (
            N_("take the names off again: {command}"),
            N_(
                "save it anew from the model itself: model.module.save_pretrained(...) or model._orig_mod.save_pretrained(...)"
            ),
        ),
        singular=N_("{count} tensor in the weights of {folder} has a name with {prefixes} in front: {names}"),
    ),
    "E328": Entry(
        N_("{count} tensors in the weights of {folder} belong to an adapter: {names}"),
        N_(
            "The model was saved with an adapter still in it. Its layers are not where a model's are, and the adapter would "
            "be left out."
        ),
        (
            N_("merge before saving: model.merge_and_unload().save_pretrained({folder!r})"),
            N_("take the base model itself, and keep the adapter in a folder of its own"),
        ),
        singular=N_("{count} tensor in the weights of {folder} belongs to an adapter: {names}"),
    ),
    "E330": Entry(
        N_("the tokenizer in {folder} is not used: {reason}"),
        N_(
            "Each tokenizer is tried first on a few texts, in a process with limits: steps that double a text, or that never "
            "end, would take the memory of the machine."
        ),
        (N_("take the tokenizer of the model's makers: copy their tokenizer.json into this folder"),),
    ),
    "E331": Entry(
        N_("the tokenizer fails on a text: {reason}; the text begins: {text}"),
        N_("It has no token for a part of the text and no unknown token, or one of its patterns gives up on it."),
        (N_("take the tokenizer of the model's makers, or leave out the rows that it cannot write"),),
    ),
}
