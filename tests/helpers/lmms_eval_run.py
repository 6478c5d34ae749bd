"""In an environment of its own: lmms-eval on our tasks, with a model that says what a file has.

python lmms_eval_run.py TASKS_FOLDER REPLIES.json    # in the folder of bench_hard.json
"""

import json
import sys
from pathlib import Path

from lmms_eval import evaluator  # type: ignore[import-not-found]
from lmms_eval.api.model import lmms  # type: ignore[import-not-found]
from lmms_eval.tasks import TaskManager, get_task_dict  # type: ignore[import-not-found]

folder, replies = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
TASKS = ["videoespresso_letter", "videoespresso_open"]


class Said(lmms):  # type: ignore[misc]
    """Says the reply of each document; looks at its video's address only."""

    def generate_until(self, requests):  # type: ignore[no-untyped-def]
        """Replies, one a request."""
        said = []
        for context, _, visual, doc_id, task, split in (r.args for r in requests):
            doc = self.task_dict[task][split][doc_id]
            assert doc["question"] in context
            assert Path(visual(doc)[0]).is_file()
            said.append(replies[doc_id])
        return said

    def loglikelihood(self, requests):  # type: ignore[no-untyped-def]
        """Not asked."""
        raise NotImplementedError

    generate_until_multi_round = loglikelihood


manager = TaskManager(include_path=folder, include_defaults=False)
tasks = get_task_dict(TASKS, manager)
model = Said()
model.task_dict = {name: task.dataset for name, task in tasks.items()}
found = evaluator.evaluate(model, tasks, bootstrap_iters=0, log_samples=False)
sys.stdout.write("RESULTS " + json.dumps({t: found["results"][t] for t in TASKS}, default=str))
