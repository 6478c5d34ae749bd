"""In what order things are done: state, nodes, edges. Nothing here talks to a model by itself."""
