"""Who runs the flows, where and when: deployment definitions and work-pool templates."""
