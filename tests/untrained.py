"""The smallest run that has films, a network and maps: NIH phantoms at 32 px, nothing trained."""

SIDE = 32
UNTRAINED = (
    "experiment=smoke",
    "brixia=none",
    f"dataset.side={SIDE}",
    "dataset.phantom.num_train_val=24",
    "dataset.phantom.num_test=24",
    "dataset.phantom.side=64",
    "train.losses=[weighted_bce]",
    "train.pretrain_epochs=0",
    "train.epochs=0",
    "threads=1",
)
