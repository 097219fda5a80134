"""Detection: rules become alerts with a lifecycle; a withdrawn ground becomes a retraction."""
