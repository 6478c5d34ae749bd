"""`videoespresso eval`: what replies are worth, under a protocol that every number names."""

import typer

from videoespresso.cli import eval_ablate, eval_compare, eval_judge, eval_run, eval_score
from videoespresso.cli.console import examples

app = typer.Typer(
    name="eval",
    help="Benchmarks: asked, scored and compared, with intervals, by letter or by Algorithm 1.",
    no_args_is_help=True,
    epilog=examples(
        "eval run theatre:test --out runs/theatre --condition ours --condition uniform:16",
        "eval compare runs/theatre",
        "eval report runs/theatre --html page.html",
        "eval ablate theatre:test --over filter --out runs/filter",
        "eval stress theatre:test --with blur,noise --out runs/blur",
        "eval score outputs.json",
        "eval score outputs.json --official",
        "eval score replies.jsonl --items bench_hard.json --protocol open",
    ),
)
app.command("run", epilog=eval_run.EPILOG)(eval_run.run)
eval_ablate.add_to(app)
app.command("score", epilog=eval_score.EPILOG)(eval_score.score)
eval_compare.add_to(app)
eval_judge.add_to(app)
