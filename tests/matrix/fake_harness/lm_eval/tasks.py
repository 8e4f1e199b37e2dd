from pathlib import Path


class TaskManager:
    def __init__(self, include_path=None):
        own = [path.stem for path in Path(include_path).glob("*.yaml")] if include_path else []
        self.all_tasks = ["counts", "fails", *own]
