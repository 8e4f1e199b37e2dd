from jinja2 import BaseLoader, Environment, StrictUndefined

env = Environment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
env.filters["regex_replace"] = lambda text: text
