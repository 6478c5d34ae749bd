"""`onnx:FOLDER_OR_REPO`: a small vision-language model on ONNX Runtime, without torch.

The layout is that of the SmolVLM, SmolVLM2 and Idefics3 exports on the Hugging Face hub: three
graphs (vision_encoder, embed_tokens, decoder_model_merged) and the files of the processor beside
them. `files` finds them, `graph` runs one, `sides` turns messages and pictures into what the graphs
take, `runtime` decodes, `chat` is the LangChain model.
"""
