"""What can be done without thinking: plain functions and plug-ins on video, frames and text."""
