r"""The same work as `pipelines.extract`, done with other tools the way their documentation does it; one script each.

    python -m tests.benchmarks.peers.tf_data --pictures=list.txt --conv_base=MobileNet --side=224 --weights=FILE \
        --precision=float32 --output=features.parquet

Every peer may run in bfloat16, for every one of them holds a Keras model: `mixed_bfloat16` is a policy of Keras.
"""
