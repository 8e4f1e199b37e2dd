"""E2 and W2: the rows."""

from collections.abc import Mapping

from tunewright.errors.catalogue.codes import Entry, data_fault
from tunewright.i18n import N_

DATA: Mapping[str, Entry] = {
    "E201": data_fault(
        N_('no data at "{path}": {reason}'),
        N_("The name is mistyped, or the folder holds no data file."),
        N_("did you mean {suggestion}?"),
        N_("it has a folder of data: name {inner}"),
        N_("data files end in {extensions}"),
    ),
    "E202": data_fault(
        N_('files of type "{extension}" are not read'),
        N_("Only formats that cannot run code are read; pickles and archives are not."),
        N_("data files end in {extensions}"),
    ),
    "E203": data_fault(
        N_("the {field} is empty"),
        N_("There is nothing to learn from an empty prompt or answer."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E204": data_fault(
        N_("not valid JSON: {reason}"),
        N_("The line is cut, holds two objects, or is written in another notation."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E205": data_fault(
        N_("broken text: {reason}"),
        N_("The bytes are not UTF-8, or hold NUL characters or half characters."),
        N_("save the file as UTF-8"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E206": data_fault(
        N_("{field} must be {wanted}, got {got}"),
        N_("The value has another type than the other rows."),
        N_("write {better}"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E207": data_fault(
        N_("{field} is missing"),
        N_("The row lacks a column or key that the other rows have."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E208": data_fault(
        N_("the turns are out of order: {reason}"),
        N_("A conversation needs an answer of the assistant; speakers are system, user, assistant and tool."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E209": data_fault(
        N_("nothing of the answer is left within {max_length} tokens (the prompt alone has {prompt_tokens})"),
        N_("Cut to data.max_length, the row holds no token to learn from."),
        N_("--set data.max_length={needed}"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E210": data_fault(
        N_("no usable row in {path}"),
        N_("The file is empty, or every row was found to be damaged."),
        N_("in a .csv file, a line prompt,completion and below it a row on each line"),
        N_("tunewright data check FILE   tells what is wrong with each row"),
    ),
    "E211": data_fault(
        N_("cannot tell the format of the columns {columns}"),
        N_("The rows are neither conversations, nor prompt and answer, nor plain text under a known name."),
        N_("{fix}"),
        N_("if the first line is a row: {numbered}"),
    ),
    "E212": data_fault(
        N_('--map names the column "{column}", which does not exist; columns: {columns}'),
        N_("The left side of a map is one of {roles}, the right side a column of your file."),
        N_('did you mean "{suggestion}"?'),
    ),
    "E213": data_fault(
        N_("the row is {size} bytes long (limit {limit})"),
        N_("Such a row is almost always a broken file, and would eat the memory."),
    ),
    "E214": data_fault(
        N_("no end token stands in the trained part"),
        N_("A model that never sees the end token in training never stops talking."),
        N_("--set model.chat_template=chatml"),
    ),
    "E215": data_fault(
        N_("{count} of {rows} rows ({percent}) are {what}; the limit is {limit}"),
        N_("So many rows point to a wrong setting rather than to a few odd rows."),
        N_("{fix}"),
        singular=N_("{count} of {rows} rows ({percent}) is {what}; the limit is {limit}"),
    ),
    "E216": data_fault(
        N_("{count} of {rows} rows are damaged"),
        N_("Bad input never trains silently: mend the rows, or leave them out knowingly."),
        N_("leave them out, counted and listed: --skip-bad"),
        singular=N_("{count} of {rows} rows is damaged"),
    ),
    "E217": data_fault(
        N_("the whole file is one broken JSON document: {reason}"),
        N_("A .json file must hold one list of objects; one object a line is .jsonl."),
    ),
    "E218": data_fault(
        N_("the row has {got} fields, the header {wanted}"),
        N_("A quote or separator is missing or doubled in this row."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E219": data_fault(
        N_("the chat template refused this row: {reason}"),
        N_("The model's template checks roles and their order itself."),
        N_("make one turn of neighbours, and put system turns into the next user turn: --set data.turns=join"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E220": data_fault(
        N_("the data set {path} could not be loaded: {reason}"),
        N_("The Hub or the file answered with an error."),
    ),
    "E221": data_fault(
        N_("the row is not well quoted: {reason}"),
        N_("A quote is missing, or a quote inside a quoted cell is not doubled."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E222": data_fault(
        N_("{words} words, but {tags} tags"),
        N_("Each word needs one tag; one too many or too few would shift all that follow."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E223": data_fault(
        N_('"{tag}" in {field} is no tag: its type is missing'),
        N_("A tag such as B-PER says where something begins, and behind the hyphen what it is."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E224": data_fault(
        N_('{field} names the label "{label}" twice'),
        N_("A row has a label or has it not. Often these are zeros and ones, one for each label, instead of names."),
        N_('write the names of the labels that hold, such as ["sports", "news"]'),
    ),
    "E225": data_fault(
        N_("{percent} of the tokens are unknown to this tokenizer"),
        N_("The model does not know the script or the language of these rows and cannot tell them apart."),
        N_("tunewright train smollm2 {path} --task {task}   has no unknown tokens in any language"),
    ),
    "E226": data_fault(
        N_("all training rows have the same label"),
        N_(
            "Where nothing differs, there is nothing to learn. Often a file holds one class only, or a column is mistaken."
        ),
        N_("--map label=COLUMN"),
    ),
    "E227": data_fault(
        N_("the tokenizer makes no token of {field}"),
        N_("The text has no character that this model knows; often it holds only invisible ones."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E228": data_fault(
        N_("the line has {got} columns instead of {wanted}"),
        N_("A line is a word and its tag, parted by a tab or a blank; all lines of a sentence have the same columns."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E229": data_fault(
        N_("{task} needs columns for {roles}; columns here: {columns}"),
        N_("No columns have names that are known for this."),
        N_("{fix}"),
        N_("if the first line is a row: {numbered}"),
    ),
    "E230": data_fault(
        N_("no training rows can be shown in a prompt: {reason}"),
        N_(
            "Examples in a prompt need rows of questions and answers, short enough for the model to read several at once."
        ),
        N_("compare without them: --shots 0"),
    ),
    "E231": data_fault(
        N_("the chat template leaves out calls of tools, or what they gave back"),
        N_("The model would learn to stop where it should call. Not every model's template knows tools."),
        N_("write them in ChatML with tools: --set model.chat_template=hermes"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E232": data_fault(
        N_("no turn of the assistant is to be learned"),
        N_("All of them are switched off by weight, train, loss or mask."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E233": data_fault(
        N_("the rows hold preferences ({columns}), not answers to learn"),
        N_(
            "Preference training (DPO and its kin) is not built yet; as plain examples only one of the two answers can be learned."
        ),
        N_("learn the better answers: {fix}"),
    ),
    "E234": data_fault(
        N_(
            '"{column}" says of {bad} of {rows} rows that their answer is bad; as plain examples these would be learned'
        ),
        N_("Training on good and bad answers (KTO and its kin) is not built yet."),
        N_("{fix}"),
    ),
    "E235": data_fault(
        N_("calls of tools, or tools, stand in a row that no chat template writes"),
        N_("For seq2seq the turns of a row are joined to one text; calls have no form there."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E237": data_fault(
        N_("{path} has no part called {split}; it has: {splits}"),
        N_("Files named train, valid or test, and lists under such keys, are taken for the parts of one data set."),
        N_("--set data.split={other}"),
    ),
    "E239": data_fault(
        N_("{file} is not UTF-8; most likely it is {encoding}"),
        N_("Programs of some countries write tables in encodings of their own; Excel does so in China and Europe."),
        N_("--set data.encoding={encoding}"),
        N_("{command}"),
    ),
    "E240": data_fault(
        N_("the first line of {file} looks like a row, not like names of columns: {columns}"),
        N_("A table needs a first line that names its columns; without it they are called column_1, column_2, ..."),
        N_("{fix}"),
        N_("if these are the names after all: {named}"),
    ),
    "E241": data_fault(
        N_('the first line names the column "{column}" twice'),
        N_("A name that stands twice names no column. Often the table has no header, and this line is its first row."),
        N_("a table without a header: --map prompt={first} --map completion={second}"),
        N_("rename one of the two columns"),
    ),
    "E242": data_fault(
        N_("the header stands here again"),
        N_("Several tables were joined into one, each with its header."),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E243": data_fault(
        N_("{path} holds several lists of rows: {splits}"),
        N_("Which of them is meant is not told by their names."),
        N_("--set data.split={other}"),
    ),
    "E244": data_fault(
        N_("the control character U+{number} stands in {field}"),
        N_("No text has such characters; they come from terminals, or from text that was read in another encoding."),
        N_("take such characters out: --set data.control_characters=remove"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E246": data_fault(
        N_("each row is one word, and nothing says where a sentence ends; columns here: {columns}"),
        N_(
            "A tag depends on the words around it. A column that numbers the sentences, or blank lines, would part them."
        ),
        N_("--map sentence={column}"),
        N_("write a list of words and a list of tags for each sentence"),
    ),
    "E250": data_fault(
        N_("{count} tokens in use have no row in the model's embedding, which has {rows}: {names}"),
        N_(
            "Tokens were added to the tokenizer and the model was not resized. Their ids would be read behind the end of the "
            "embedding."
        ),
        N_("{command}"),
        N_(
            "then train on the folder `resized`; the new rows are learned with --set peft.trainable_token_indices='{ids}' "
            "(LoRA)"
        ),
        singular=N_("{count} token in use has no row in the model's embedding, which has {rows}: {names}"),
    ),
    "E251": data_fault(
        N_('each row is one turn of a conversation: "{speaker}" names who speaks'),
        N_("An answer is learned behind the turns before it, so a conversation is one row, with a list of its turns."),
        N_("write each conversation as one row: {command}"),
        N_("learn each text by itself all the same: --map {content}"),
    ),
    "E252": data_fault(
        N_("the rows hold two answers each ({columns}), and {choice} says which is better"),
        N_("Preference training is not built yet; as plain examples only one of the two answers can be learned."),
        N_("write the better answers to a file of their own: {command}"),
        N_("{by_hand}"),
        N_("learn the same one of all rows: {fix}"),
    ),
    "E253": data_fault(
        N_('"{column}" holds several answers in each row, in an order or with scores'),
        N_("Preference training is not built yet; as plain examples only the best answer should be learned."),
        N_("write the best answers to a file of their own: {command}"),
        N_("if the whole list is the answer: {fix}"),
    ),
    "E254": data_fault(
        N_("the rows are tasks of Label Studio, and their labels are not one choice for a text"),
        N_(
            "Choices are read as they are exported. Spans, ratings and written texts have no form here that is told for sure."
        ),
        N_("spans of words: export as CONLL2003, and train with --task token_cls"),
        N_("all others: export as JSON-MIN or CSV"),
    ),
    "E255": data_fault(
        N_("the rows are annotations of Prodigy: accept and reject say whether a label is right, and are no answers"),
        N_("As prompt and answer, the model would learn to write accept or reject."),
        N_("write texts and their labels to a file of their own: {command}"),
        N_("learn to tell accepted texts from rejected ones: --task seq_cls --map text=text --map label=answer"),
    ),
    "E260": data_fault(
        N_("{field} holds a label of {count} characters (limit {most})"),
        N_(
            "Labels are short names that many rows share. So long a text is more likely the answer, or the text itself."
        ),
        N_("name the column of labels: --map label=COLUMN"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "E261": data_fault(
        N_("the name of {file} is not UTF-8"),
        N_("Rows are told by file and line, and no record of a run can hold such a name."),
        N_("rename the file, in letters and digits"),
    ),
    "E262": data_fault(
        N_("{file} is no file of rows, but {what}"),
        N_("Data are read more than once, from files that stay as they are."),
        N_("write its rows into a file, and name that"),
        N_("or take it out of the folder"),
    ),
    "E263": data_fault(
        N_("{field} holds {count} turns (limit {most})"),
        N_("No model reads so long a conversation, and all its turns are written with each of them."),
        N_("part it into several rows"),
        N_("leave such rows out, counted: --skip-bad"),
    ),
    "W201": Entry(
        N_("{count} rows are longer than data.max_length={max_length} and are cut"),
        N_(
            "What stands behind the limit is neither read nor learned; the end token of a cut answer is kept out of the loss, "
            "as it did not end there."
        ),
        (N_("--set data.max_length={needed}"),),
        singular=N_("{count} row is longer than data.max_length={max_length} and is cut"),
    ),
    "W211": Entry(
        N_("{count} rows are exact duplicates of earlier rows"),
        N_("Duplicates count twice in training; usually they come from joining files."),
        singular=N_("{count} row is an exact duplicate of an earlier row"),
    ),
    "W212": Entry(
        N_("{count} rows ask the same as an earlier row but answer differently"),
        N_("The model cannot learn both; it will answer with a mixture."),
        singular=N_("{count} row asks the same as an earlier row but answers differently"),
    ),
    "W213": Entry(
        N_("{count} held-out rows also stand in the training rows and were left out of held-out"),
        N_("A row that was trained on proves nothing when it is tested."),
        singular=N_("{count} held-out row also stands in the training rows and was left out of held-out"),
    ),
    "W214": Entry(
        N_("{count} tokens are unknown to this tokenizer ({percent})"),
        N_("The model does not know the script or the language of these rows."),
        singular=N_("{count} token is unknown to this tokenizer ({percent})"),
    ),
    "W215": Entry(
        N_("{count} rows hold control tokens of this model in their text"),
        N_("The model reads such text as the end of a turn or of the answer, in training and in use."),
        (
            N_(
                "remove from the text what the chat template or the tokenizer's configs write as a mark, such as <|im_end|>"
            ),
        ),
        singular=N_("{count} row holds control tokens of this model in its text"),
    ),
    "W221": Entry(
        N_("{count} rows have tools that the chat template does not show to the model"),
        N_("The answers stand behind prompts without the tools, and so will they in use."),
        (N_("--set model.chat_template=hermes"),),
        singular=N_("{count} row has tools that the chat template does not show to the model"),
    ),
    "W222": Entry(
        N_("{count} of {rows} rows have thinking in front of their answers, the others have none"),
        N_(
            "The model learns to think sometimes. That is right for rows that were made so, and often a mixture of two files."
        ),
        (N_("--set data.thinking=drop"), N_("--set data.thinking=mask")),
        singular=N_("{count} of {rows} rows has thinking in front of its answers, the others have none"),
    ),
    "W223": Entry(
        N_("the thinking of {count} rows is written by hand, as the chat template would leave it out"),
        N_("The model learns it between <think> and </think>, behind the prompt that it will be given."),
        (N_("--set data.thinking=drop"),),
        singular=N_("the thinking of {count} row is written by hand, as the chat template would leave it out"),
    ),
    "W224": Entry(
        N_("{count} rows hold turns, or texts beside calls, that the chat template leaves out"),
        N_("The model does not see them, neither in training nor in use."),
        (N_("tunewright data show FILE --row NUMBER"),),
        singular=N_("{count} row holds turns, or texts beside calls, that the chat template leaves out"),
    ),
    "W225": Entry(
        N_("{count} rows have {columns}, which are not read: only text is learned"),
        N_("Models of pictures and sound are not trained here; marks such as <image> are text to this model."),
        singular=N_("{count} row has {columns}, which are not read: only text is learned"),
    ),
    "W226": Entry(
        N_("{count} rows have {columns}, which is not used: all rows count alike"),
        N_("Whole turns can be left unlearned by weight 0; weights between are not built."),
        singular=N_("{count} row has {columns}, which is not used: all rows count alike"),
    ),
    "W227": Entry(
        N_("the thinking of {count} rows is not learned: this model's prompts end thinking before it begins"),
        N_(
            "The chat template tells the model to answer at once. Thinking is learned with a template that leaves it open."
        ),
        (N_("--set model.chat_template=hermes"),),
        singular=N_("the thinking of {count} row is not learned: this model's prompts end thinking before it begins"),
    ),
    "W216": Entry(
        N_("{count} labels stand in held-out rows only: {labels}"),
        N_("The model never sees them in training, so it cannot get these rows right."),
        singular=N_("{count} label stands in held-out rows only: {labels}"),
    ),
    "W217": Entry(
        N_("{count} labels have one training example each: {labels}"),
        N_("One example is too little to learn a label from."),
        singular=N_("{count} label has one training example: {labels}"),
    ),
    "W240": Entry(
        N_("trained: {trained}; held out: {held_out}"),
        N_("Files and lists named after a part of a data set are taken for it."),
        is_note=True,
    ),
    "W241": Entry(
        N_("{count} rows have turns without speakers; they are taken for the user's and the assistant's in turn"),
        N_("A list of texts, or of pairs of texts, is how some data sets write conversations."),
        singular=N_(
            "{count} row has turns without speakers; they are taken for the user's and the assistant's in turn"
        ),
    ),
    "W242": Entry(
        N_("{count} rows have {columns}, which the prompt does not show: the answer is learned without them"),
        N_("Questions with choices are answered from the choices, so these belong into the text of the prompt."),
        singular=N_("{count} row has {columns}, which the prompt does not show: the answer is learned without them"),
    ),
    "W243": Entry(
        N_('{count} rows say "nan", "None" or the like in a column that may be empty; it is read as empty'),
        N_("pandas and databases write so when there is no value."),
        singular=N_('{count} row says "nan", "None" or the like in a column that may be empty; it is read as empty'),
    ),
    "W244": Entry(
        N_('{count} rows have the text "nan" as prompt or answer, and it is learned'),
        N_("pandas writes so when there is no value. Then these rows are better taken out of the file."),
        singular=N_('{count} row has the text "nan" as prompt or answer, and it is learned'),
    ),
    "W245": Entry(
        N_("{count} rows have several accepted answers; the first is learned"),
        N_("In question answering on a context, each person who was asked gave an answer of their own."),
        singular=N_("{count} row has several accepted answers; the first is learned"),
    ),
    "W231": Entry(
        N_("trained: {trained}; held out: {held_out}; left alone: {alone}"),
        N_("Files and lists named after a part of a data set are taken for it, and what is no data file is not read."),
        (N_("hold the test rows out instead: --set data.holdout={test}"),),
    ),
    "W232": Entry(
        N_("the labels are taken for numbers to be estimated, as {value} is not whole"),
        N_("Of {count} labels only {few} are not whole; classes are usually numbered by whole numbers."),
        (N_("--set data.problem_type=single_label_classification"),),
    ),
    "W233": Entry(
        N_('{count} labels look like several in one cell, parted by "{mark}": {labels}'),
        N_("Each combination is now a class of its own."),
        (N_("--set data.problem_type=multi_label_classification"),),
        singular=N_('{count} label looks like several in one cell, parted by "{mark}": {labels}'),
    ),
    "W234": Entry(
        N_('labels such as "{value}" are read as numbers: {number}'),
        N_("They are written with a decimal comma, with marks between thousands, or as a percentage."),
        (
            N_("as classes: --set data.problem_type=single_label_classification"),
            N_("as several labels: --set data.problem_type=multi_label_classification"),
        ),
    ),
    "W235": Entry(
        N_("{count} labels differ in case or white space only: {labels}"),
        N_("They are classes of their own; often one is a slip of the pen."),
    ),
    "W236": Entry(
        N_('{count} rows have the label "{label}", which is taken for a class'),
        N_("Programs write so when there is no label. So many rows have it that it is more likely a class."),
        singular=N_('{count} row has the label "{label}", which is taken for a class'),
    ),
    "W237": Entry(
        N_("{unit} is a row in {file}"),
        N_("In plain text, rows are parted by blank lines; where there are none, each line is a row."),
    ),
    "W238": Entry(
        N_("{count} rows have an object or a list as answer; it is learned as its JSON"),
        N_("The answer is then JSON, as it would be if the file held it as text."),
        singular=N_("{count} row has an object or a list as answer; it is learned as its JSON"),
    ),
    "W239": Entry(
        N_("each row is one word; the column {column} makes {count} sentences of them"),
        N_("Tables of words name the sentence of each word in a column of its own."),
    ),
}
