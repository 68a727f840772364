"""What a task says and what decides its name."""

from dataclasses import replace

from fedbench.task import Client, Metric, Pool, Split, Task


class Everyone(Split):
    """A protocol of ten lines, which says nothing of the data set's notes."""

    name = "everyone"

    def make(self, dataset, *, seed):
        items = dataset.parts["train"]
        clients = tuple(Client(f"client {k}", items[k::2]) for k in range(2))
        pools = {"test": Pool(dataset.classnames, dataset.parts["test"])}
        return Task(
            self.name, dataset, dataset.classnames, clients, pools, {"global": Metric("test")}, ("global",),
            notes=("a note of its own",),
        )  # fmt: skip


def test_a_task_says_what_its_data_set_lacks_whoever_made_it(listed):
    task = Everyone(Everyone.Options()).make(listed([(6, 2, 3)] * 3, missing=7242), seed=1)
    missing = "7242 images of the split are missing and were left out"
    assert task.notes == (missing, "a note of its own")
    assert replace(task, notes=()).notes == (missing,)


def test_notes_do_not_change_what_a_task_is(listed):
    task = Everyone(Everyone.Options()).make(listed([(6, 2, 3)] * 3), seed=1)
    assert replace(task, notes=("other words",)).hash == task.hash
