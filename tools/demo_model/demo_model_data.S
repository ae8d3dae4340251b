// The bytes of the demo model: a file of millions of bytes assembles in no time, and would take minutes as a C++ array.
    .section .rodata
    .balign 64  // tensors are aligned within the file, so the file must be too
    .global quern_demo_model_begin
quern_demo_model_begin:
    .incbin QUERN_DEMO_MODEL
    .global quern_demo_model_end
quern_demo_model_end:
    .section .note.GNU-stack, "", %progbits  // without it the linker would ask for an executable stack
