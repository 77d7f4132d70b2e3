"""What Prefect sees and retries: a task is a shard, never a row."""
