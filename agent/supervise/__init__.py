"""Client processes: started so that they outlive the agent, watched and signalled without ever meaning another one."""
