"""Predictions as typed columns: one Arrow schema for each task and its parameters, the same for every shard.

What a pipeline returns as a list is the column ``predictions``, a list of structs with the pipeline's own keys.
The best of them is there by itself: ``predicted_label`` and ``predicted_score`` of tasks that classify,
``predicted_answer`` of tasks that answer. Texts keep the pipeline's names (``generated_text``, ``summary_text``,
``translation_text``), arrays lie flat beside their shape, and images, masks, depth maps and speech are files
whose paths, relative to the output folder, are in the row. ``task_columns`` says which columns a task has.
"""

from pipeline_core.columns.labels import first_label
from pipeline_core.columns.task_columns import ArrayType, TaskColumns, output_schema, task_columns

__all__ = ["ArrayType", "TaskColumns", "first_label", "output_schema", "task_columns"]
