"""D1 to D6: what a diagnosis says."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import EXIT_OK, Entry, seen
from tunewright.i18n import N_

DIAGNOSIS: Mapping[str, Entry] = {
    "D101": Entry(
        N_(
            "memory ran out at step {step} ({evidence}; peak {peak} of {total}). {what}: {was} before, {now} now; the run "
            "goes on from step {start} with the same effective batch of {batch}"
        ),
        N_(
            "The run needed more than there was, and goes on with the saving that costs least. How the rows of a step are "
            "split changes no result; neither does activation checkpointing. An 8-bit base rounds its weights."
        ),
        (),
        EXIT_OK,
    ),
    "D102": Entry(
        N_("memory ran out in a test ({reason}); the test goes on with at most {rows} rows at once"),
        N_("Rows are tested in batches to be fast. Smaller batches give the same scores and need less memory."),
        (),
        EXIT_OK,
    ),
    "D103": seen(
        N_("memory ran out at step {step} and ended the run: it held {peak}, {room} had been free"),
        N_(
            "Memory grows with the rows that are computed at once and with the longest row; the base's weights come on top."
        ),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
        N_("--set train.activation_checkpointing=true"),
        N_("--set model.quantization=8bit"),
    ),
    "D104": seen(
        N_("the peak came near to all the memory there was: {peak} of {room} ({percent} %)"),
        N_("One longer row, or another program, and the run would have ended for want of memory."),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
    ),
    "D201": seen(
        N_(
            "the loss hardly moved ({first} at the start, {last} at the end), and the learning rate {rate} is {times} times "
            "smaller than the usual {usual}"
        ),
        N_("Steps are so small that the adapter stays where it began."),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D202": seen(
        N_(
            "the training loss rose instead of falling: {first} at the start, up to {worst}, {last} at the end, with learning "
            "rate {rate} (usual: {usual})"
        ),
        N_("Steps are so large that each undoes what the last one learned; what the base could do is lost as well."),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D203": seen(
        N_(
            "no gradient reaches the adapter: its norm was at most {norm} in {steps} logged steps, and the loss is still {loss}"
        ),
        N_(
            "What is adapted has no influence on the loss: layers that are not used, or whose output is multiplied by zero."
        ),
        N_("leave the layers to the plan: --set peft.target_modules=auto"),
    ),
    "D204": seen(
        N_(
            "hardly anything of the answers is learned: {lost} of {rows} rows have nothing left of theirs within {max_length} "
            "tokens, the others hold {mean} label tokens each"
        ),
        N_(
            "Only answers are learned. Rows whose prompt fills data.max_length, or whose answer is empty, teach nothing."
        ),
        N_("--set data.max_length=auto"),
        N_("tunewright data show FILE   marks what is learned"),
    ),
    "D205": seen(
        N_("{count} of {rows} rows hold control tokens of this model in their text"),
        N_(
            "They were written in a chat template before, and then in the model's own: the model reads the marks inside as the "
            "end of a turn, and learns to begin its answers with them."
        ),
        N_("remove marks such as <|im_start|> from the text, or give the turns as messages"),
        singular=N_("{count} of {rows} rows holds control tokens of this model in its text"),
    ),
    "D206": seen(
        N_("after {passes} passes the loss rests at {last} ({first} at the start); the adapter is very small: {small}"),
        N_(
            "Training and held-out loss are close together, so nothing is learned by heart either: the adapter may have too "
            "few numbers for this task. Query and value layers are a must."
        ),
        N_("--set preset=medium, with peft.r and peft.target_modules left to it"),
    ),
    "D207": seen(
        N_("{count} of {rows} rows ({percent} %) ask the same as another row and answer differently"),
        N_(
            "The model cannot learn both and answers with a mixture. Where answers are meant to vary, nothing is wrong."
        ),
        N_("keep one answer to each question"),
        singular=N_("{count} of {rows} rows ({percent} %) asks the same as another row and answers differently"),
    ),
    "D208": seen(
        N_("{count} of {rows} rows ({percent} %) repeat another row"),
        N_("They count several times, and what they say is learned by heart before the rest is understood."),
        N_("keep each row once"),
        singular=N_("{count} of {rows} rows ({percent} %) repeats another row"),
    ),
    "D209": seen(
        N_(
            "the tuned model labels {rows} held-out rows no better than one label for all of them: {after} % right, {baseline} % so"
        ),
        N_("The labels may not follow from the texts (columns shifted or mixed), or training ended too soon."),
        N_("tunewright data show FILE   shows rows with their labels"),
    ),
    "D210": seen(
        N_(
            "training ended while the loss still fell: {before} before, {last} at the last of {steps} steps, which is the "
            "best ({passes} passes; training rows {trained})"
        ),
        N_("The rows were seen too few times, or there are too few steps, to learn what they hold."),
        N_("more passes over the rows: --epochs 20"),
    ),
    "D301": Entry(
        N_(
            "held-out loss has not improved for {count} evaluations while training loss falls: it overfits; best is step {best}"
        ),
        N_("The model begins to learn the rows by heart. The best step is kept; early stopping ends the run."),
        (N_("fewer epochs: --set train.num_train_epochs=1"), N_("lower rank: --set peft.r=8")),
        EXIT_OK,
    ),
    "D302": seen(
        N_(
            "the rows are known by heart: training loss {trained}, on held-out rows {tested}, after {passes} passes over "
            "{rows} rows"
        ),
        N_("So many passes over so few rows teach the rows themselves. More and more varied rows help most."),
        N_("fewer epochs: --set train.num_train_epochs=1"),
        N_("lower rank: --set peft.r=8"),
        N_("more rows"),
    ),
    "D401": seen(
        N_(
            "the numbers broke at step {step}: the loss or a gradient became {value} (learning rate {rate}, usual: {usual})"
        ),
        N_(
            "Weights grew until the numbers overflowed, or a row holds a number far from all others. That step was not applied, "
            "and nothing of it was saved."
        ),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
        N_("--set train.max_grad_norm=1.0"),
        N_("--set model.precision=fp32"),
    ),
    "D402": seen(
        N_("the loss fell to {last} within {passes} passes over the rows: there is nothing to learn in the answers"),
        N_("All answers are the same, or the question holds the answer, or only marks that never change are learned."),
        N_("tunewright data show FILE   marks what is learned"),
    ),
    "D403": seen(
        N_(
            "the gradient exploded at step {step}: norm {norm}, usually {typical}; the loss went from {before} to {later}"
        ),
        N_("One step threw the adapter far away. The cause is a row unlike all others, or steps that are too large."),
        N_("--set train.max_grad_norm=1.0"),
        N_("leave train.learning_rate to the plan: --set train.learning_rate=auto"),
    ),
    "D501": seen(
        N_("{percent} % of what was computed is padding (rows have {median} tokens in the middle, {longest} at most)"),
        N_("Rows that are computed together are filled up to the longest of them."),
        N_("--set fast_paths.packing=true"),
        N_("fewer rows at once, more to a step: --set train.per_device_train_batch_size=1"),
    ),
    "D502": seen(
        N_("activations are computed twice to save memory that is there: without it {peak} of {room}"),
        N_("Activation checkpointing costs about a quarter of the speed; it is worth that only where memory is short."),
        N_("--set train.activation_checkpointing=auto"),
    ),
    "D503": seen(
        N_("{precision} is slow on this device: {slow} GFLOP/s, {best} makes {fast}"),
        N_("Not every device computes faster with fewer bits; the speeds were measured here."),
        N_("--set model.precision=auto"),
    ),
    "D504": seen(
        N_("for {percent} % of the time that it wanted to compute, the run waited for a core that others had"),
        N_("Other programs on this machine use the same cores."),
        N_(
            "end them, or run again when the machine is idle; where it stays busy, try OMP_NUM_THREADS=1 in front of the command"
        ),
    ),
    "D505": seen(
        N_(
            "training stood still for {percent} % of its time until the next rows came (dataloader_num_workers: {workers})"
        ),
        N_(
            "Rows are encoded before training and need no workers; starting workers for each pass takes longer than the rows."
        ),
        N_("--set train.dataloader_num_workers=0"),
    ),
    "D601": seen(
        N_(
            "{count} of {answers} answers came to no end within {limit} tokens, and were longer than their references "
            "({truncated} training rows were cut)"
        ),
        N_("The end of an answer was not learned. A row that is cut at data.max_length has no end to learn."),
        N_("--set data.max_length=auto"),
        singular=N_(
            "{count} of {answers} answers came to no end within {limit} tokens, and was longer than "
            "its reference ({truncated} training rows were cut)"
        ),
    ),
    "D602": seen(
        N_("{count} of {answers} answers hold marks of another chat template: {marks}"),
        N_("The rows were written in the template of another model, so its marks were learned as plain text."),
        N_("remove the marks from the rows, or give the turns as messages"),
        singular=N_("{count} of {answers} answers holds marks of another chat template: {marks}"),
    ),
}
